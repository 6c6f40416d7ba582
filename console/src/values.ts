/** What values are, to be shown in the shape that fits them. */
import { isObject } from "./merge.ts";
import { type MediaFile, mediaOf } from "./media.ts";
import { flat, shapeIn } from "./npy.ts";

export type Shown =
  | { kind: "media"; media: MediaFile }
  | { kind: "tensor"; shape: number[]; value: unknown }
  | { kind: "table"; rows: Record<string, unknown>[]; columns: string[] }
  | { kind: "list"; items: unknown[] }
  | { kind: "object"; fields: [string, unknown][] }
  | { kind: "text"; text: string }
  | { kind: "scalar"; text: string }
  | { kind: "nothing" };

export function shownAs(value: unknown): Shown {
  if (value === null || value === undefined) return { kind: "nothing" };
  if (typeof value === "string") {
    const media = mediaOf(value);
    return media ? { kind: "media", media } : { kind: "text", text: value };
  }
  if (Array.isArray(value)) {
    if (!value.length) return { kind: "nothing" };
    const shape = shapeIn(value);
    if (shape && (shape.length > 1 || (shape[0] ?? 0) > 6)) return { kind: "tensor", shape, value };
    if (value.every((one) => isObject(one) && Object.keys(one).length > 0)) {
      const rows = value as Record<string, unknown>[];
      return { kind: "table", rows, columns: columnsOf(rows) };
    }
    return { kind: "list", items: value };
  }
  if (isObject(value)) {
    const fields = Object.entries(value).filter(([, one]) => !isNothing(one));
    return fields.length ? { kind: "object", fields } : { kind: "nothing" };
  }
  return { kind: "scalar", text: String(value) };
}

export function isNothing(value: unknown): boolean {
  return value === null || value === undefined || value === "" || (Array.isArray(value) && !value.length) || (isObject(value) && !Object.keys(value).length);
}

/** The columns that say something, ids last: they say least. */
export function columnsOf(rows: Record<string, unknown>[]): string[] {
  const found = new Set<string>();
  for (const row of rows.slice(0, 200)) for (const [name, one] of Object.entries(row)) if (!isNothing(one)) found.add(name);
  const names = [...found];
  return [...names.filter((name) => name !== "id"), ...(found.has("id") ? ["id"] : [])];
}

/** The documents of an answer: those of the envelope, or the answer itself. */
export function payloadOf(value: unknown): { data: unknown; parameters: unknown } {
  if (isObject(value) && Array.isArray(value.data) && isObject(value.header)) return { data: value.data, parameters: value.parameters };
  return { data: value, parameters: undefined };
}

/** The text of a stream's parts in a row; null where they are no text. */
export function streamText(items: unknown[]): string | null {
  const first = items[0];
  if (first === undefined) return null;
  if (typeof first === "string") return mediaOf(first) ? null : items.map(String).join("");
  if (!isObject(first)) return null;
  if (Array.isArray(first.choices)) return items.map(choiceText).join("");
  if (typeof first.type === "string" && items.some((one) => isObject(one) && textOfEvent(one))) return items.map((one) => (isObject(one) ? textOfEvent(one) : "")).join("");
  const names = Object.entries(first).filter(([name, one]) => typeof one === "string" && name !== "id" && !mediaOf(one)).map(([name]) => name);
  const name = ["text", "token", "delta", "content", "message"].find((one) => names.includes(one)) ?? (names.length === 1 ? names[0] : undefined);
  return name === undefined ? null : items.map((one) => (isObject(one) ? String(one[name] ?? "") : "")).join("");
}

function choiceText(item: unknown): string {
  const choice = isObject(item) && Array.isArray(item.choices) ? (item.choices[0] as unknown) : null;
  if (!isObject(choice)) return "";
  if (isObject(choice.delta)) return typeof choice.delta.content === "string" ? choice.delta.content : "";
  return typeof choice.text === "string" ? choice.text : "";
}

function textOfEvent(item: Record<string, unknown>): string {
  if (typeof item.delta === "string") return item.delta;
  return isObject(item.delta) && typeof item.delta.text === "string" ? item.delta.text : "";
}

export interface Summary {
  least: number;
  most: number;
  mean: number;
}

export function summaryOf(value: unknown): Summary {
  const numbers = flat(value);
  let least = Infinity;
  let most = -Infinity;
  let sum = 0;
  for (const one of numbers) {
    if (one < least) least = one;
    if (one > most) most = one;
    sum += one;
  }
  return { least, most, mean: sum / (numbers.length || 1) };
}

/** Height, width and channels where an array may be a picture: [h, w], [h, w, 1|3|4] or [1|3, h, w]. */
export function pictureIn(shape: number[]): { height: number; width: number; channels: number; first: boolean } | null {
  const [a = 0, b = 0, c = 0] = shape;
  if (shape.length === 2 && a >= 8 && b >= 8 && a * b <= 4e6) return { height: a, width: b, channels: 1, first: false };
  if (shape.length !== 3 || a * b * c > 16e6) return null;
  if ([1, 3, 4].includes(c) && a >= 2 && b >= 2) return { height: a, width: b, channels: c, first: false };
  if ([1, 3].includes(a) && b >= 8 && c >= 8) return { height: b, width: c, channels: a, first: true };
  return null;
}
