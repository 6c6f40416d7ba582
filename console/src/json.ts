/** JSON whose integers keep their value, however large they are. */

const MARK = `big-${Math.random().toString(36).slice(2)}-`;

/** The text of a value that may hold big integers. */
export function toJson(value: unknown, indent?: number): string {
  let big = false;
  const text = JSON.stringify(value, (_name, one: unknown) => {
    if (typeof one !== "bigint") return one;
    big = true;
    return `${MARK}${one}`;
  }, indent) as string | undefined;
  if (text === undefined) return "null";
  return big ? text.replaceAll(new RegExp(`"${MARK}(-?\\d+)"`, "g"), "$1") : text;
}

/** The value of a text. Integers that a float cannot hold are BigInts, where the browser tells them. */
export function fromJson(text: string): unknown {
  if (!/\d{16}/.test(text)) return JSON.parse(text);
  return JSON.parse(text, ((_name: string, one: unknown, context?: { source?: string }) => {
    const source = context?.source;
    return typeof one === "number" && source && !Number.isSafeInteger(one) && /^-?\d+$/.test(source) ? BigInt(source) : one;
  }) as (name: string, one: unknown) => unknown);
}
