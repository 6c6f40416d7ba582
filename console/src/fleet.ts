/** What all processes are together, computed once a message: of a large service each look at all of them costs. */
import type { Process } from "./model.ts";

export type Processes = ReadonlyMap<string, Process>;

interface Sums {
  ready: number;
  restarts: number;
  cpu: number;
  rss: number;
  /** Whether some process tells of processor and memory. */
  measured: boolean;
}

/** The processes of one Deployment, or the gateways. */
export interface Group extends Sums {
  names: string[];
  executor: string;
  /** The state of the first. */
  state: string;
}

export interface Fleet extends Sums {
  /** The same array as long as these are the same names. */
  names: string[];
  groups: Map<string, Group>;
  /** Those that are not well, by name. */
  ill: string[];
  /** The memory of the largest. */
  largest: number;
}

const NOTHING: Sums = { ready: 0, restarts: 0, cpu: 0, rss: 0, measured: false };

/** By the name of its Deployment; a process that has none is for itself. */
export function fleetOf(processes: Processes, before: Fleet | null): Fleet {
  const fleet: Fleet = { ...NOTHING, names: [], groups: new Map(), ill: [], largest: 0 };
  const known = before?.names ?? [];
  let same = known.length === processes.size;
  for (const [name, one] of processes) {
    same &&= known[fleet.names.length] === name;
    fleet.names.push(name);
    const owner = one.gateway ? "gateway" : one.deployment || name;
    let group = fleet.groups.get(owner);
    if (!group) fleet.groups.set(owner, (group = { ...NOTHING, names: [], executor: "", state: one.state }));
    group.names.push(name);
    group.executor ||= one.executor ?? "";
    if (one.state === "ready") group.ready++;
    else if (one.state === "failed" || one.state === "hung") fleet.ill.push(name);
    group.restarts += one.restarts;
    if (typeof one.cpu === "number" || typeof one.rss === "number") {
      group.measured = true;
      const rss = one.rss ?? 0;
      group.cpu += one.cpu ?? 0;
      group.rss += rss;
      if (rss > fleet.largest) fleet.largest = rss;
    }
  }
  if (same) fleet.names = known;
  for (const group of fleet.groups.values()) {
    fleet.ready += group.ready;
    fleet.restarts += group.restarts;
    fleet.cpu += group.cpu;
    fleet.rss += group.rss;
    fleet.measured ||= group.measured;
  }
  return fleet;
}
