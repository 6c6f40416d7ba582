import assert from "node:assert/strict";
import { test } from "node:test";
import { merged } from "../src/merge.ts";

test("a patch adds, replaces and removes", () => {
  const before = { a: 1, b: { c: 2, d: 3 }, e: [1, 2] };
  assert.deepEqual(merged(before, { a: null, b: { c: 4 }, e: [3], f: { g: 5 } }), { b: { c: 4, d: 3 }, e: [3], f: { g: 5 } });
  assert.deepEqual(before, { a: 1, b: { c: 2, d: 3 }, e: [1, 2] });
});

test("what does not change stays the same object", () => {
  const before = { processes: { x: { cpu: 1 }, y: { cpu: 2 } }, graph: { nodes: {} } };
  const after = merged(before, { processes: { x: { cpu: 3 } } });
  assert.equal(after.graph, before.graph);
  assert.equal(after.processes.y, before.processes.y);
  assert.notEqual(after.processes.x, before.processes.x);
});

test("names that objects have by nature are data", () => {
  const patch: unknown = JSON.parse('{"__proto__": {"polluted": true}, "constructor": {"x": 1}}');
  const after = merged<Record<string, unknown>>({}, patch);
  assert.equal(({} as Record<string, unknown>).polluted, undefined);
  assert.deepEqual(after.constructor, { x: 1 });
});
