import assert from "node:assert/strict";
import { test } from "node:test";
import { curveOf, nearest, roundUp, thinned } from "../src/chart.ts";
import { bytes, count, duration, seconds } from "../src/format.ts";
import { mediaOf, sniffed } from "../src/media.ts";
import { payloadOf, pictureIn, shownAs, streamText } from "../src/values.ts";

test("values are shown in the shape that fits them", () => {
  assert.equal(shownAs([{ a: 1 }, { b: 2 }]).kind, "table");
  assert.equal(shownAs([[1, 2], [3, 4]]).kind, "tensor");
  assert.equal(shownAs([1, "x"]).kind, "list");
  assert.equal(shownAs({ a: null }).kind, "nothing");
  assert.equal(shownAs("data:;base64,iVBORw0KGgo=").kind, "media");
  assert.equal(shownAs(12n).kind, "scalar");
});

test("only data URLs are files, and their bytes say what they are", () => {
  assert.equal(mediaOf("data:text/html;base64,iVBORw0KGgoAAAAA")?.type, "image/png");
  assert.equal(mediaOf("data:text/plain,hello"), null);
  assert.equal(mediaOf("https://example.org/x.png"), null);
  assert.equal(mediaOf("javascript:alert(1)"), null);
  assert.equal(sniffed("RIFF1234WAVEfmt "), "audio/wav");
  assert.equal(mediaOf("data:;base64,aGVsbG8=")?.size, 5);
});

test("the parts of a stream are one text", () => {
  assert.equal(streamText(["a ", "b"]), "a b");
  assert.equal(streamText([{ id: "1", text: "a" }, { id: "2", text: "b" }]), "ab");
  assert.equal(streamText([{ choices: [{ delta: { role: "assistant" } }] }, { choices: [{ delta: { content: "x" } }] }]), "x");
  assert.equal(streamText([{ type: "content_block_delta", delta: { text: "y" } }, { type: "message_stop" }]), "y");
  assert.equal(streamText([{ a: "x", b: "y" }]), null);
  assert.equal(streamText([3]), null);
  assert.equal(streamText([]), null);
});

test("documents come out of Jina's envelope only", () => {
  assert.deepEqual(payloadOf({ data: [1], parameters: { a: 1 }, header: {} }), { data: [1], parameters: { a: 1 } });
  assert.deepEqual(payloadOf({ data: [1] }).data, { data: [1] });
});

test("arrays of some shapes are pictures", () => {
  assert.deepEqual(pictureIn([32, 48, 3]), { height: 32, width: 48, channels: 3, first: false });
  assert.deepEqual(pictureIn([3, 32, 48]), { height: 32, width: 48, channels: 3, first: true });
  assert.equal(pictureIn([3, 4]), null);
  assert.equal(pictureIn([1000, 1000, 1000]), null);
});

test("numbers are short", () => {
  assert.deepEqual([0, 3, 9999, 12345, 1.5e6, 0.0123, null].map(count), ["0", "3", "9999", "12.3k", "1.5M", "0.012", "–"]);
  assert.deepEqual([0, 0.0000123, 0.0123, 1.5, 75].map(seconds), ["0 ms", "12.3 µs", "12.3 ms", "1.5 s", "1 min 15 s"]);
  assert.equal(duration(90061), "1 d 1 h");
  assert.equal(bytes(60_300_000), "60.3 MB");
});

test("curves break where nobody looked, and keep their peaks", () => {
  const points = [1, 2, 60, 61].map((time) => ({ time, values: { a: time } }));
  const frame = { from: 0, to: 100, most: 100, width: 100, height: 100 };
  assert.equal(curveOf(points, "a", frame).path.match(/M/g)?.length, 2);
  const many = Array.from({ length: 1000 }, (_, index) => ({ time: index / 10, values: { a: index === 500 ? 99 : 1 } }));
  const thin = thinned(many, "a", frame, 60);
  assert.ok(thin.length <= 61);
  assert.equal(Math.max(...thin.map((one) => one.value ?? 0)), 99);
  assert.equal(nearest(points, 59)?.time, 60);
  assert.equal(nearest(points, 30), undefined);
  assert.deepEqual([0.7, 1, 3, 24, 51].map(roundUp), [1, 1, 5, 25, 100]);
});
