import assert from "node:assert/strict";
import { test } from "node:test";
import { layOut } from "../src/layout.ts";

const SIZES = { nodeWidth: 100, nodeHeight: 50, gapAlong: 80, gapAcross: 20, down: false };

function placed(names: string[], pairs: [string, string][], down = false) {
  const layout = layOut(names, pairs.map(([from, to]) => ({ id: `${from}>${to}`, from, to })), { ...SIZES, down });
  return { ...layout, at: new Map(layout.nodes.map((node) => [node.name, node])) };
}

test("each node stands behind all that it comes from", () => {
  const pairs: [string, string][] = [["g", "a"], ["g", "b"], ["a", "j"], ["b", "j"], ["g", "j"], ["j", "z"]];
  const { at } = placed(["z", "j", "b", "a", "g"], pairs);
  for (const [from, to] of pairs) assert.ok((at.get(from)?.x ?? 0) < (at.get(to)?.x ?? 0), `${from} before ${to}`);
});

test("no two nodes lie upon each other, and all are inside", () => {
  const names = Array.from({ length: 50 }, (_, index) => `n${index}`);
  const pairs = names.slice(1).map((name, index) => [`n${Math.floor(index / 3)}`, name] as [string, string]);
  for (const down of [false, true]) {
    const { nodes, width, height } = placed(names, pairs, down);
    assert.equal(nodes.length, 50);
    for (const one of nodes) {
      assert.ok(one.x >= 0 && one.x + 100 <= width && one.y >= 0 && one.y + 50 <= height);
      for (const other of nodes) if (one !== other) assert.ok(Math.abs(one.x - other.x) >= 100 || Math.abs(one.y - other.y) >= 50);
    }
  }
});

test("circles, loops and edges to nowhere do no harm", () => {
  const { nodes, lines } = placed(["a", "b", "c"], [["a", "b"], ["b", "c"], ["c", "a"], ["a", "a"], ["a", "gone"]]);
  assert.equal(nodes.length, 3);
  assert.equal(lines.length, 3);
  assert.deepEqual(placed([], []).nodes, []);
});

test("branches do not cross where they need not", () => {
  const { at } = placed(["g", "a", "b", "x", "y"], [["g", "a"], ["g", "b"], ["b", "y"], ["a", "x"]]);
  const order = (one: string, other: string) => Math.sign((at.get(one)?.y ?? 0) - (at.get(other)?.y ?? 0));
  assert.equal(order("a", "b"), order("x", "y"));
});
