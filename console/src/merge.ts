/** A JSON merge patch (RFC 7396). Gives a new value that shares what did not change, so identity tells what did. */
export function merged<T>(before: T, patch: unknown): T {
  if (!isObject(patch)) return patch as T;
  const result: Record<string, unknown> = isObject(before) ? { ...before } : {};
  for (const [name, value] of Object.entries(patch))
    if (name === "__proto__") continue;
    else if (value === null) delete result[name];
    else result[name] = merged(result[name], value);
  return result as T;
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
