/** What the server's feed tells, see docs/reference/http.md, with what the page computes of it. */
import type { Fleet, Processes } from "./fleet.ts";

export interface Numbers {
  rate?: number | null;
  errors?: number | null;
  p50?: number | null;
  p90?: number | null;
  p99?: number | null;
  mean?: number | null;
  queue_p50?: number | null;
  queue_p99?: number | null;
  handler_p50?: number | null;
  handler_p99?: number | null;
  batch?: number | null;
  batch_wait?: number | null;
  in_flight?: number | null;
  count?: number;
  failed?: number;
  failures?: Record<string, number>;
}

export interface Process {
  deployment: string;
  shard: number;
  replica: number;
  gateway: boolean;
  pid: number;
  state: string;
  /** Since when it is in that state, as seconds since the epoch. */
  since?: number;
  started?: number;
  in_flight: number;
  queued: number;
  restarts: number;
  last_end?: string;
  group?: string;
  metrics?: string;
  probes?: string;
  place?: { kind?: string; host?: string; pod?: string };
  executor?: string;
  /** Of jina. */
  version?: string;
  /** Of the Executor, where something states one. */
  executor_version?: string;
  /** That of the container which jina has started for it. */
  image?: string;
  cpu?: number | null;
  rss?: number | null;
  files?: number | null;
  threads?: number | null;
  numbers?: Numbers;
  endpoints?: Record<string, Numbers>;
}

export interface Deployment {
  state: string;
  replicas: number;
  ready: number;
  shards: number;
  external: boolean;
  stateful: boolean;
  versions?: string[];
  numbers?: Numbers;
}

export interface Edge {
  from: string;
  to: string;
  rate?: number | null;
  latency?: number | null;
  p99?: number | null;
  errors?: number | null;
  up?: number;
  of?: number;
  floating?: boolean;
}

export interface Member {
  process: string;
  error?: string;
  role?: string;
  term?: number;
  committed?: number;
  applied?: number;
  first?: number;
  last?: number;
  voter?: boolean;
  serving?: boolean;
  snapshot?: number;
  snapshot_bytes?: number;
  snapshot_time?: number;
  lag?: Record<string, number | null>;
  /** Those that do not answer the leader. */
  silent?: string[];
  diverged?: unknown;
  disk?: unknown;
  peers?: unknown;
}

export interface Group {
  leader?: number | null;
  term?: number | null;
  healthy: boolean;
  replicas: Record<string, Member>;
}

export interface Span {
  name: string;
  kind: string;
  process: string;
  start: number;
  seconds: number;
}

export interface Slow {
  id: string;
  endpoint: string;
  at: number;
  seconds: number;
  error?: string;
  stream?: boolean;
  spans: Span[];
}

export interface Service {
  name: string;
  state: string;
  pid: number;
  version: string;
  python: string;
  addresses: string[];
  log_dir: string;
  steps: Record<string, { waiting: number; wait: number; wanted?: number | null }>;
}

export interface State {
  seq: number;
  time: number;
  service: Service;
  processes: Processes;
  fleet: Fleet;
  total: Numbers;
  deployments: Record<string, Deployment>;
  graph: { nodes: Record<string, { kind: string }>; edges: Record<string, Edge> };
  groups: Record<string, Group>;
  slow: Slow[];
  viewers?: number;
  problems?: string[];
}

export interface Info {
  version: string;
  mode: "service" | "user";
  services: { id: string; name: string; state: string }[];
  rights: string[];
  why_not: Record<string, string>;
  closed: boolean;
  interval: number;
  window: number;
}

/** One point of what the page keeps for its curves. */
export interface Point {
  time: number;
  values: Record<string, number | null>;
}
