import assert from "node:assert/strict";
import { test } from "node:test";
import { EventReader, linesOf } from "../src/sse.ts";

test("events come whole, however the text is cut", () => {
  const text = 'event: update\ndata: {"a":1}\n\n: alive\n\nevent: update\r\ndata: x\r\ndata: y\r\n\r\nevent: end\n\n';
  for (let size = 1; size < text.length; size++) {
    const reader = new EventReader();
    const found = [];
    for (let at = 0; at < text.length; at += size) found.push(...reader.read(text.slice(at, at + size)));
    assert.deepEqual(found, [
      { event: "update", data: '{"a":1}' },
      { event: "update", data: "x\ny" },
      { event: "end", data: "" },
    ]);
  }
});

test("lines come whole, and letters that are cut in two are put together", async () => {
  const bytes = new TextEncoder().encode('{"a":"ü"}\n\n{"b":2}');
  const body = new ReadableStream<Uint8Array>({
    start(control) {
      for (const byte of bytes) control.enqueue(new Uint8Array([byte]));
      control.close();
    },
  });
  const found = [];
  for await (const line of linesOf(body)) found.push(line);
  assert.deepEqual(found, ['{"a":"ü"}', '{"b":2}']);
});
