import assert from "node:assert/strict";
import { test } from "node:test";
import { fleetOf } from "../src/fleet.ts";
import type { Process } from "../src/model.ts";

const process = (deployment: string, more: Partial<Process> = {}): Process => ({
  deployment, shard: 0, replica: 0, gateway: false, pid: 1, state: "ready", in_flight: 0, queued: 0, restarts: 0, ...more,
});

test("sums are those of each Deployment and of all", () => {
  const fleet = fleetOf(new Map([
    ["a/rep-0", process("a", { cpu: 0.5, rss: 10, restarts: 2 })],
    ["a/rep-1", process("a", { state: "hung", executor: "A" })],
    ["b/rep-0", process("b", { rss: 30 })],
    ["gateway", process("gateway", { gateway: true })],
    ["odd", process("")],
  ]), null);
  assert.deepEqual([...fleet.groups.keys()], ["a", "b", "gateway", "odd"]);
  assert.deepEqual(fleet.groups.get("a"), {
    names: ["a/rep-0", "a/rep-1"], ready: 1, restarts: 2, cpu: 0.5, rss: 10, measured: true, executor: "A", state: "ready",
  });
  assert.equal(fleet.groups.get("gateway")?.measured, false);
  assert.deepEqual([fleet.ready, fleet.restarts, fleet.cpu, fleet.rss, fleet.measured, fleet.largest], [4, 2, 0.5, 40, true, 30]);
  assert.deepEqual(fleet.ill, ["a/rep-1"]);
});

test("the names are another array only where they are others", () => {
  const one = new Map([["a", process("a")], ["b", process("b")]]);
  const first = fleetOf(one, null);
  assert.equal(fleetOf(new Map(one), first).names, first.names);
  const less = new Map(one);
  less.delete("b");
  assert.deepEqual(fleetOf(less, first).names, ["a"]);
  assert.deepEqual(fleetOf(new Map([...one].reverse()), first).names, ["b", "a"]);
});
