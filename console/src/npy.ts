/** Arrays: NumPy's files (https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html), and nested lists of numbers. */

export interface Tensor {
  shape: number[];
  dtype: string;
  data: ArrayLike<number>;
}

type Read = (view: DataView, at: number, little: boolean) => number;

const KINDS: Record<string, [number, Read]> = {
  f8: [8, (v, at, e) => v.getFloat64(at, e)],
  f4: [4, (v, at, e) => v.getFloat32(at, e)],
  f2: [2, (v, at, e) => half(v.getUint16(at, e))],
  i8: [8, (v, at, e) => Number(v.getBigInt64(at, e))],
  i4: [4, (v, at, e) => v.getInt32(at, e)],
  i2: [2, (v, at, e) => v.getInt16(at, e)],
  i1: [1, (v, at) => v.getInt8(at)],
  u8: [8, (v, at, e) => Number(v.getBigUint64(at, e))],
  u4: [4, (v, at, e) => v.getUint32(at, e)],
  u2: [2, (v, at, e) => v.getUint16(at, e)],
  u1: [1, (v, at) => v.getUint8(at)],
  b1: [1, (v, at) => v.getUint8(at)],
};

function half(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (exponent ? 2 ** (exponent - 15) * (1 + fraction / 1024) : 2 ** -14 * (fraction / 1024));
}

/** The array in a `.npy` file; raises an `Error` that says what is wrong with it. */
export function readNpy(buffer: ArrayBuffer): Tensor {
  const view = new DataView(buffer);
  const magic = new Uint8Array(buffer, 0, Math.min(6, buffer.byteLength));
  if (String.fromCharCode(...magic) !== "\x93NUMPY") throw new Error("this is no .npy file");
  const wide = view.getUint8(6) > 1;
  const start = wide ? 12 : 10;
  const length = wide ? view.getUint32(8, true) : view.getUint16(8, true);
  const header = new TextDecoder("latin1").decode(new Uint8Array(buffer, start, length));
  const descr = header.match(/'descr':\s*'([<>|=])([a-z]\d+)'/);
  const shapeText = header.match(/'shape':\s*\(([^)]*)\)/)?.[1];
  const known = descr ? KINDS[descr[2] ?? ""] : undefined;
  if (!descr || !known || shapeText === undefined) throw new Error(`no array of numbers: ${header.trim()}`);
  const shape = shapeText.split(",").map((part) => part.trim()).filter(Boolean).map(Number);
  const [size, read] = known;
  const total = shape.reduce((left, right) => left * right, 1);
  const begin = start + length;
  if (buffer.byteLength < begin + total * size) throw new Error("the file is cut short");
  const little = descr[1] !== ">";
  const data = new Array<number>(total);
  for (let index = 0; index < total; index++) data[index] = read(view, begin + index * size, little);
  const fortran = /'fortran_order':\s*True/.test(header);
  return { shape, dtype: descr[2] ?? "", data: fortran ? rowsFirst(data, shape) : data };
}

function rowsFirst(data: number[], shape: number[]): number[] {
  const result = new Array<number>(data.length);
  const steps = shape.map((_, axis) => shape.slice(0, axis).reduce((left, right) => left * right, 1));
  for (let index = 0; index < data.length; index++) {
    let rest = index;
    let from = 0;
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      const length = shape[axis] ?? 1;
      from += (rest % length) * (steps[axis] ?? 1);
      rest = Math.floor(rest / length);
    }
    result[index] = data[from] ?? 0;
  }
  return result;
}

/** Nested lists, as JSON has arrays. */
export function nested(tensor: Tensor): unknown {
  let at = 0;
  const build = (axis: number): unknown => {
    if (axis === tensor.shape.length) return tensor.data[at++] ?? 0;
    return Array.from({ length: tensor.shape[axis] ?? 0 }, () => build(axis + 1));
  };
  return build(0);
}

/** The lengths of nested lists of numbers; null where they are none, or ragged. */
export function shapeIn(value: unknown): number[] | null {
  if (!Array.isArray(value)) return null;
  const shape: number[] = [];
  for (let at: unknown = value; Array.isArray(at); at = at[0]) shape.push(at.length);
  return fits(value, shape, 0) ? shape : null;
}

function fits(value: unknown, shape: number[], axis: number): boolean {
  if (axis === shape.length) return typeof value === "number" || typeof value === "boolean";
  if (!Array.isArray(value) || value.length !== shape[axis]) return false;
  return value.every((one) => fits(one, shape, axis + 1));
}

/** The numbers of nested lists in a row. */
export function flat(value: unknown): number[] {
  return Array.isArray(value) ? (value as unknown[]).flat(Infinity).map(Number) : [];
}

/** Numbers that somebody typed: JSON, or numbers between blanks and commas, a row a line. */
export function readNumbers(text: string): unknown {
  const trimmed = text.trim();
  if (!trimmed) return null;
  if (trimmed.startsWith("[")) {
    const value: unknown = JSON.parse(trimmed);
    if (!shapeIn(value)) throw new Error("these lists are no array: rows differ in length, or hold no numbers");
    return value;
  }
  const rows = trimmed.split(/[\n;]+/).map((line) => line.split(/[\s,]+/).filter(Boolean).map(Number));
  if (rows.some((row) => row.some(Number.isNaN))) throw new Error("only numbers, please");
  const value = rows.length === 1 ? rows[0] : rows;
  if (!shapeIn(value)) throw new Error("the rows differ in length");
  return value;
}
