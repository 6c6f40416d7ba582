import assert from "node:assert/strict";
import { test } from "node:test";
import { nested, readNpy, readNumbers, shapeIn } from "../src/npy.ts";

function npy(descr: string, shape: string, data: ArrayBufferView, fortran = false): ArrayBuffer {
  const header = `{'descr': '${descr}', 'fortran_order': ${fortran ? "True" : "False"}, 'shape': ${shape}, }\n`;
  const bytes = new Uint8Array(10 + header.length + data.byteLength);
  bytes.set([0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, 1, 0, header.length & 255, header.length >> 8]);
  bytes.set(new TextEncoder().encode(header), 10);
  bytes.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), 10 + header.length);
  return bytes.buffer;
}

test("arrays of a file are read", () => {
  assert.deepEqual(nested(readNpy(npy("<f4", "(2, 2)", new Float32Array([1, 2, 3, 4.5])))), [[1, 2], [3, 4.5]]);
  assert.deepEqual(nested(readNpy(npy("<i8", "(2,)", new BigInt64Array([-1n, 5n])))), [-1, 5]);
  assert.deepEqual(nested(readNpy(npy("|u1", "(3,)", new Uint8Array([0, 128, 255])))), [0, 128, 255]);
  assert.equal(nested(readNpy(npy("<f8", "()", new Float64Array([7])))), 7);
  assert.deepEqual(nested(readNpy(npy("<f2", "(3,)", new Uint16Array([0x3c00, 0xc000, 0x0001])))), [1, -2, 2 ** -24]);
});

test("columns first become rows first", () => {
  assert.deepEqual(nested(readNpy(npy("<f4", "(2, 3)", new Float32Array([1, 4, 2, 5, 3, 6]), true))), [[1, 2, 3], [4, 5, 6]]);
});

test("files that are none are told so", () => {
  assert.throws(() => readNpy(new TextEncoder().encode("not at all").buffer as ArrayBuffer), /no .npy file/);
  assert.throws(() => readNpy(new ArrayBuffer(0)), /no .npy file/);
  assert.throws(() => readNpy(npy("<f8", "(9,)", new Float64Array([1]))), /cut short/);
  assert.throws(() => readNpy(npy("|O", "(1,)", new Uint8Array(8))), /no array of numbers/);
});

test("numbers are read as people type them", () => {
  assert.deepEqual(readNumbers("1, 2 3"), [1, 2, 3]);
  assert.deepEqual(readNumbers("1 2\n3 4"), [[1, 2], [3, 4]]);
  assert.deepEqual(readNumbers("[[1], [2]]"), [[1], [2]]);
  assert.equal(readNumbers("  "), null);
  assert.throws(() => readNumbers("1 two"), /only numbers/);
  assert.throws(() => readNumbers("1 2\n3"), /differ/);
  assert.throws(() => readNumbers("[[1], [2, 3]]"), /no array/);
});

test("only regular lists of numbers have a shape", () => {
  assert.deepEqual(shapeIn([[1, 2], [3, 4], [5, 6]]), [3, 2]);
  assert.equal(shapeIn([[1], [2, 3]]), null);
  assert.equal(shapeIn(["a"]), null);
  assert.equal(shapeIn("x"), null);
});
