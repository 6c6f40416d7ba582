import assert from "node:assert/strict";
import { test } from "node:test";
import { version } from "../src/format.ts";

test("of a digest or a commit its beginning is shown", () => {
  const digest = "0123456789abcdef".repeat(4);
  assert.equal(version(`sha256:${digest}`), "sha256:0123456789ab");
  assert.equal(version(`registry.example.org/upper@sha256:${digest}`), "registry.example.org/upper@sha256:0123456789ab");
  assert.equal(version(digest.slice(0, 40)), "0123456789ab");
  for (const whole of ["1.4.2", "upper:v2", "2024.10.1+local", "deadbeef", "a".repeat(64), ""]) assert.equal(version(whole), whole);
});
