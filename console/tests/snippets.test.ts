import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";
import { fromJson, toJson } from "../src/json.ts";
import { python, shell } from "../src/snippets.ts";

const NASTY = ["", "it's", '"x"', "$HOME `id` \\n", "a\nb\tc", "ünï\u2028cödé 🙂", "-n", "'''", "\\", "@file", "\u0000x", "\ud800"];

test("a shell takes each word as it is", () => {
  for (const text of NASTY) {
    if (text.includes("\u0000") || text === "\ud800") continue;
    assert.equal(execFileSync("sh", ["-c", `printf '[%s]' ${shell(text)}`]).toString(), `[${text}]`);
  }
});

test("literals are Python's", () => {
  const value = { a: [1, 2.5, true, null, 2n ** 70n], "it's": "x\ny", long: Array.from({ length: 30 }, (_, index) => index) };
  const told = execFileSync("python3", ["-c", `import json\nprint(json.dumps(${python(value)}, ensure_ascii=True))`]).toString();
  assert.equal(told.trim().replaceAll(", ", ",").replaceAll(": ", ":"), toJson(value));
  for (const text of NASTY) {
    const back = execFileSync("python3", ["-c", `import json\nprint(json.dumps(${python(text)}))`]).toString();
    assert.equal(JSON.parse(back), text);
  }
});

test("big integers keep their value", () => {
  assert.equal(toJson({ a: 2n ** 64n, b: [1] }), '{"a":18446744073709551616,"b":[1]}');
  assert.equal(toJson(undefined), "null");
  const back = fromJson('{"a": 18446744073709551617, "b": 1.5, "c": "18446744073709551617"}') as Record<string, unknown>;
  assert.equal(back.b, 1.5);
  assert.equal(back.c, "18446744073709551617");
});
