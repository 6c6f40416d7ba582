/** A JSON merge patch (RFC 7396). Gives a new value that shares what did not change, so identity tells what did. */
export function merged<T>(before: T, patch: unknown): T {
  if (!isObject(patch)) return patch as T;
  const result: Record<string, unknown> = isObject(before) ? { ...before } : {};
  for (const name in patch) {
    const value = patch[name];
    if (name === "__proto__") continue;
    if (value === null) delete result[name];
    else result[name] = typeof value === "object" ? merged(result[name], value) : value;
  }
  return result as T;
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
