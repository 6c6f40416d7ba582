/** The live state of the service: one stream, from which all views read. */
import { batch, signal } from "@preact/signals";
import { fleetOf } from "./fleet.ts";
import { isObject, merged } from "./merge.ts";
import type { Info, Numbers, Point, Process, State } from "./model.ts";
import { Refused, ask, refused } from "./server.ts";
import { eventsOf } from "./sse.ts";

export type Connection = "connecting" | "live" | "lost" | "ended";

export const info = signal<Info | null>(null);
export const state = signal<State | null>(null);
export const connection = signal<Connection>("connecting");
/** Why there is no live state, in words. */
export const trouble = signal("");
/** The service that is shown, by id. */
export const chosen = signal("");
/** Points of the last minutes by track, the newest last. */
export const curves = signal<Map<string, Point[]>>(new Map());
export const track = signal("total");

const WINDOW = 900;
const LONGEST_WAIT = 15;
/** Milliseconds of reading at a stretch. */
const BREATH = 5;
let running: AbortController | null = null;

/** Begin, or begin again, to follow the service. */
export async function follow(): Promise<void> {
  running?.abort();
  const control = (running = new AbortController());
  batch(() => {
    connection.value = "connecting";
    trouble.value = "";
  });
  for (let wait = 1; !control.signal.aborted; wait = Math.min(LONGEST_WAIT, wait * 2)) {
    try {
      const told = (await (await ask("console/info", { signal: control.signal })).json()) as Info;
      batch(() => {
        info.value = told;
        const known = told.services.some((one) => one.id === chosen.value);
        if (!known) chosen.value = told.services[0]?.id ?? "";
      });
      if (told.mode === "user" && !told.services.length) {
        batch(() => {
          state.value = null;
          connection.value = "live";
        });
      } else {
        await listen(control);
        wait = 0.5;
      }
    } catch (error) {
      if (control.signal.aborted) return;
      if (refused.value) {
        connection.value = "lost";
        return;
      }
      trouble.value = error instanceof Refused ? error.message : "the server does not answer";
      if (error instanceof Refused && error.retryAfter) wait = Math.max(wait, error.retryAfter);
    }
    if (control.signal.aborted) return;
    if (state.value || trouble.value) connection.value = "lost";
    await pause(wait, control.signal);
  }
}

export function choose(id: string): void {
  batch(() => {
    chosen.value = id;
    state.value = null;
    curves.value = new Map();
    track.value = "total";
  });
  void follow();
}

export function serviceQuery(extra: Record<string, string> = {}): string {
  const query = new URLSearchParams(extra);
  if (chosen.value) query.set("service", chosen.value);
  return query.toString();
}

function pause(seconds: number, stop: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, seconds * 1000);
    stop.addEventListener("abort", () => {
      clearTimeout(timer);
      resolve();
    });
  });
}

async function listen(control: AbortController): Promise<void> {
  const answer = await ask(`console/feed?${serviceQuery()}`, { signal: control.signal });
  if (!answer.body) return;
  void fetchHistory(track.value);
  let latest: State | null = null;
  let began = performance.now();
  // Of a large service a message comes in parts, the last of which has the time. They are gathered in one copy.
  let gathered: Map<string, Process> | null = null;
  for await (const { event, data } of eventsOf(answer.body)) {
    if (control.signal.aborted) return;
    if (event === "state") {
      gathered = null;
      take((latest = whole(JSON.parse(data) as Told)));
    } else if (event === "delta" && latest) {
      const parted: boolean = gathered !== null;
      const { processes, ...patch } = JSON.parse(data) as Partial<Told>;
      if (processes) {
        gathered ??= new Map(latest.processes);
        for (const name in processes) {
          const one = processes[name] as Process | null;
          if (one === null) gathered.delete(name);
          else gathered.set(name, merged(gathered.get(name) as Process, one));
        }
      }
      if ("time" in patch) {
        if (parted) await breath();
        latest = merged<State>(latest, patch);
        if (gathered) {
          latest.processes = gathered;
          latest.fleet = fleetOf(gathered, latest.fleet);
        }
        gathered = null;
        take(latest);
      }
    } else if (event === "end") {
      const told: unknown = JSON.parse(data);
      trouble.value = isObject(told) ? String(told.reason ?? "") : "";
      return;
    }
    if (performance.now() - began > BREATH) {
      await breath();
      began = performance.now();
    }
  }
}

/** A state as it is sent. */
type Told = Omit<State, "processes" | "fleet"> & { processes: Record<string, Process> };

function whole(told: Told): State {
  const processes = new Map(Object.entries(told.processes));
  return { ...told, processes, fleet: fleetOf(processes, null) };
}

/** Let the browser draw and answer before more is read. */
function breath(): Promise<void> {
  return new Promise((resolve) => {
    const channel = new MessageChannel();
    channel.port1.onmessage = () => {
      channel.port1.close();
      resolve();
    };
    channel.port2.postMessage(null);
  });
}

function take(next: State): void {
  batch(() => {
    state.value = next;
    connection.value = "live";
    trouble.value = "";
    addPoint(next);
  });
}

/** The numbers of a track in a state. */
export function numbersOf(one: State, name: string): Record<string, number | null> | null {
  const [kind, rest] = split(name);
  if (kind === "process") {
    const found = one.processes.get(rest);
    return found ? { ...plain(found.numbers), in_flight: found.in_flight, cpu: found.cpu ?? null, rss: found.rss ?? null } : null;
  }
  const numbers = kind === "deployment" ? one.deployments[rest]?.numbers : one.total;
  if (!numbers) return null;
  const sums = kind === "deployment" ? one.fleet.groups.get(rest) : one.fleet;
  return { ...plain(numbers), ...(sums?.measured ? { cpu: sums.cpu, rss: sums.rss } : {}) };
}

function plain(numbers: Numbers | undefined): Record<string, number | null> {
  const { failures: _, ...rest } = numbers ?? ({} as Numbers);
  return rest as unknown as Record<string, number | null>;
}

function split(name: string): [string, string] {
  const colon = name.indexOf(":");
  return colon < 0 ? [name, ""] : [name.slice(0, colon), name.slice(colon + 1)];
}

function addPoint(next: State): void {
  const values = numbersOf(next, track.value);
  if (!values) return;
  const before = curves.value.get(track.value) ?? [];
  const from = next.time - WINDOW;
  const kept = before.length && (before[0]?.time ?? 0) < from ? before.filter((point) => point.time >= from) : before;
  curves.value = new Map(curves.value).set(track.value, [...kept, { time: next.time, values }]);
}

/** Show another track, with what the server remembers of it. */
export function showTrack(name: string): void {
  track.value = name;
  void fetchHistory(name);
}

async function fetchHistory(name: string): Promise<void> {
  try {
    const answer = await ask(`console/history?${serviceQuery({ track: name })}`);
    const told = (await answer.json()) as { columns: string[]; points: (number | null)[][] };
    const old = told.points.map((row) => {
      const values = Object.fromEntries(told.columns.map((column, index) => [column, row[index] ?? null]));
      return { time: Number(values.time), values };
    });
    const known = curves.value.get(name) ?? [];
    const first = known[0]?.time ?? Infinity;
    curves.value = new Map(curves.value).set(name, [...old.filter((point) => point.time < first), ...known]);
  } catch {
    // Without what was before, the curves begin now.
  }
}
