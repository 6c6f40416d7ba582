/** The log as it is written, of all processes. */
import { signal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { chosen, info, serviceQuery, state } from "./feed.ts";
import { clock, count } from "./format.ts";
import { isObject } from "./merge.ts";
import { memo } from "./memo.ts";
import { go, place } from "./route.ts";
import { Refused, ask, key } from "./server.ts";
import { eventsOf } from "./sse.ts";
import { CopyButton, Empty, Icon, Pill } from "./ui.tsx";

interface Line {
  seq: number;
  time: number;
  level: string;
  process: string;
  pid?: number;
  logger?: string;
  message: string;
  request_id?: string;
  exception?: string;
}

interface Wanted {
  process: string;
  level: string;
  text: string;
}

const KEPT = 3000;
const SHOWN = 400;
const LEVELS = ["DEBUG", "INFO", "SUCCESS", "WARNING", "ERROR", "CRITICAL"];

const lines = signal<Line[]>([]);
const dropped = signal(0);
const wanted = signal<Wanted>({ process: "", level: "", text: "" });
const paused = signal(false);
const trouble = signal("");
const reading = signal(false);

export function Logs() {
  const request = place.value.rest;
  const { process, level, text } = wanted.value;
  const may = info.value?.rights.includes("logs") ?? false;
  const query = serviceQuery({
    ...(process ? { process } : {}),
    ...(level ? { level } : {}),
    ...(text ? { text } : {}),
    ...(request ? { request_id: request } : {}),
  });
  useEffect(() => {
    if (!may) return undefined;
    const control = new AbortController();
    // Letters that are typed one after the other ask once.
    const timer = setTimeout(() => void read(query, control.signal), text ? 250 : 0);
    return () => {
      clearTimeout(timer);
      control.abort();
    };
  }, [query, may, key.value, chosen.value]);
  if (!info.value) return <Empty title="Waiting for the service…" />;
  if (!may) return <Empty title="The log is not open to you"><p>{info.value.why_not?.logs ?? "It needs a key."}</p></Empty>;
  return (
    <div class="logs">
      <Filters request={request} />
      <Lines />
    </div>
  );
}

async function read(query: string, stop: AbortSignal): Promise<void> {
  lines.value = [];
  dropped.value = 0;
  for (let wait = 1; !stop.aborted; wait = Math.min(15, wait * 2)) {
    try {
      const answer = await ask(`console/logs?${query}`, { signal: stop });
      trouble.value = "";
      reading.value = true;
      wait = 1;
      if (answer.body) await take(answer.body, stop);
    } catch (error) {
      if (stop.aborted) break;
      trouble.value = error instanceof Error ? error.message : String(error);
      if (error instanceof Refused && error.status < 500 && error.status !== 429) break;
    }
    reading.value = false;
    if (!stop.aborted) await new Promise((resolve) => setTimeout(resolve, wait * 1000));
    // What is sent again after a new beginning is known already by its number.
  }
  reading.value = false;
}

async function take(body: ReadableStream<Uint8Array>, stop: AbortSignal): Promise<void> {
  let fresh: Line[] = [];
  let drawn = 0;
  const show = () => {
    drawn = 0;
    if (!fresh.length || stop.aborted) return;
    const known = new Set(lines.value.slice(-KEPT).map(identity));
    const added = fresh.filter((one) => !known.has(identity(one)));
    fresh = [];
    lines.value = [...lines.value, ...added].slice(-KEPT);
  };
  for await (const { event, data } of eventsOf(body)) {
    if (stop.aborted) return;
    const value: unknown = JSON.parse(data || "null");
    if (event === "log" && isObject(value)) {
      fresh.push(value as unknown as Line);
      if (fresh.length > KEPT) fresh = fresh.slice(-KEPT);
      // Many lines at once are drawn together.
      drawn ||= window.setTimeout(show, 100);
    } else if (event === "dropped" && isObject(value)) dropped.value += Number(value.count) || 0;
    else if (event === "end") break;
  }
  clearTimeout(drawn);
  show();
}

function identity(line: Line): string {
  return `${line.process}|${line.pid ?? ""}|${line.time}|${line.seq}`;
}

function Filters({ request }: { request: string }) {
  const set = (changes: Partial<Wanted>) => {
    wanted.value = { ...wanted.value, ...changes };
  };
  const now = state.value;
  const deployments = Object.keys(now?.deployments ?? {});
  const processes = now?.fleet.names ?? [];
  return (
    <div class="row controls" role="group" aria-label="which lines">
      <select aria-label="process" value={wanted.value.process} onChange={(event) => set({ process: event.currentTarget.value })}>
        <option value="">all processes</option>
        {deployments.length > 0 && <optgroup label="Deployments">{deployments.map((name) => <option key={name} value={name}>{name}</option>)}</optgroup>}
        <optgroup label="processes">{processes.map((name) => <option key={name} value={name}>{name}</option>)}</optgroup>
      </select>
      <select aria-label="least level" value={wanted.value.level} onChange={(event) => set({ level: event.currentTarget.value })}>
        <option value="">all levels</option>
        {LEVELS.slice(1).map((name) => <option key={name} value={name}>{name.toLowerCase()} and above</option>)}
      </select>
      <input class="short" type="search" aria-label="text in the lines" placeholder="text" value={wanted.value.text} onInput={(event) => set({ text: event.currentTarget.value })} />
      {request && (
        <span class="chip">
          request <code>{request}</code>
          <button type="button" class="quiet small" aria-label="lines of all requests" onClick={() => go("logs")}><Icon name="close" /></button>
        </span>
      )}
      <span class="row right">
        <Pill state={reading.value ? "live" : "connecting"} text={paused.value ? "held" : reading.value ? "live" : trouble.value || "connecting"} />
        <button type="button" class="quiet small" aria-pressed={paused.value} onClick={() => { paused.value = !paused.value; }}>{paused.value ? "follow" : "hold"}</button>
        <CopyButton text={() => lines.value.map(asText).join("\n")} />
      </span>
    </div>
  );
}

function asText(line: Line): string {
  return `${new Date(line.time * 1000).toISOString()} ${line.level} ${line.process} ${line.message}${line.exception ? `\n${line.exception}` : ""}`;
}

function Lines() {
  const box = useRef<HTMLDivElement>(null);
  const held = useRef<Line[]>([]);
  const all = paused.value ? held.current : lines.value;
  if (!paused.value) held.current = lines.value;
  useEffect(() => {
    const element = box.current;
    if (element && !paused.value) element.scrollTop = element.scrollHeight;
  }, [all, paused.value]);
  // Who scrolls up reads: the log holds still until it is at its end again.
  const scrolled = () => {
    const element = box.current;
    if (!element) return;
    const atEnd = element.scrollHeight - element.scrollTop - element.clientHeight < 24;
    if (!atEnd && !paused.value) paused.value = true;
    else if (atEnd && paused.value) paused.value = false;
  };
  const shown = all.slice(-SHOWN);
  return (
    <div ref={box} class="panel lines" tabIndex={0} role="log" aria-label="lines of the log" aria-live="off" onWheel={scrolled} onTouchMove={scrolled} onKeyUp={scrolled}>
      {!shown.length && <Empty title={trouble.value ? "The log cannot be read" : "No lines yet"}><p>{trouble.value || "They appear here as they are written."}</p></Empty>}
      {(all.length > shown.length || dropped.value > 0) && (
        <p class="nothing">{[all.length > shown.length && `${count(all.length - shown.length)} earlier lines`, dropped.value && `${count(dropped.value)} more came than could be kept`].filter(Boolean).join(" · ")}</p>
      )}
      {shown.map((line) => <LineRow key={identity(line)} line={line} />)}
    </div>
  );
}

const LineRow = memo(function LineRow({ line }: { line: Line }) {
  return (
    <div class={`line ${line.level.toLowerCase()}`}>
      <time dateTime={new Date(line.time * 1000).toISOString()}>{clock(line.time, true)}</time>
      <span class="line-level">{line.level}</span>
      <span class="line-process">{line.process}</span>
      <span class="line-message">
        {line.message}
        {line.request_id && (
          <>
            {" "}
            <a href={`#/logs/${encodeURIComponent(line.request_id)}`} class="line-request" title="only this request">{line.request_id.slice(0, 12)}</a>
          </>
        )}
        {line.exception && (
          <details>
            <summary>traceback</summary>
            <pre>{line.exception}</pre>
          </details>
        )}
      </span>
    </div>
  );
});
