/** Sending a request and taking its answer as it comes. */
import { isObject } from "./merge.ts";
import { fromJson } from "./json.ts";
import { frameOf, type Draft, type Sendable } from "./request.ts";
import type { Endpoint } from "./schema.ts";
import { address, key, send } from "./server.ts";
import { eventsOf, linesOf } from "./sse.ts";

export interface Answer {
  running: boolean;
  status: number;
  statusText: string;
  /** Seconds: until the first part came, and until all was there. */
  first: number | null;
  took: number;
  headers: [string, string][];
  type: string;
  requestId: string;
  /** The body as it came, where it is text. */
  text: string;
  value: unknown;
  hasValue: boolean;
  /** The parts of a stream. */
  items: unknown[] | null;
  file: { type: string; url: string; size: number } | null;
  size: number;
  problem: Problem | null;
  stopped: boolean;
}

export interface Problem {
  title: string;
  code: string;
  help: string;
  /** Wrong fields, by path. */
  fields: { path: string; message: string }[];
  stacks: string[];
  executor: string;
}

const EMPTY: Answer = {
  running: true, status: 0, statusText: "", first: null, took: 0, headers: [], type: "", requestId: "", text: "",
  value: undefined, hasValue: false, items: null, file: null, size: 0, problem: null, stopped: false,
};

const KEPT = 5000;

/** Tells `show` of each state of the answer; returns when it is complete. */
export async function answerOf(request: Sendable, stop: AbortSignal, show: (answer: Answer) => void): Promise<Answer> {
  const began = performance.now();
  const since = () => (performance.now() - began) / 1000;
  let answer: Answer = { ...EMPTY };
  const update = (changes: Partial<Answer>) => {
    answer = { ...answer, ...changes, took: since() };
    show(answer);
  };
  update({});
  try {
    const got = await send(request.path, { method: request.method, headers: request.headers, body: request.body, signal: stop });
    const type = (got.headers.get("content-type") ?? "").split(";")[0]?.trim() ?? "";
    update({
      status: got.status,
      statusText: got.statusText,
      type,
      requestId: got.headers.get("x-request-id") ?? "",
      headers: [...got.headers],
      first: since(),
    });
    if (got.body && got.ok && (type === "text/event-stream" || type === "application/x-ndjson")) await takeStream(got.body, type, update, since);
    else await takeWhole(got, type, update);
  } catch (error) {
    if (stop.aborted) update({ stopped: true });
    else update({ problem: { ...NO_PROBLEM, title: "no answer: the server cannot be reached, or closed the connection", help: error instanceof Error ? error.message : "" } });
  }
  update({ running: false });
  return answer;
}

async function takeWhole(got: Response, type: string, update: (changes: Partial<Answer>) => void): Promise<void> {
  if (got.ok && !isText(type)) {
    const blob = await got.blob();
    update({ file: { type, url: URL.createObjectURL(blob), size: blob.size }, size: blob.size });
    return;
  }
  const text = await got.text();
  update({ text, size: text.length });
  if (!type.includes("json") && !got.ok) update({ problem: { ...NO_PROBLEM, title: text || `${got.status} ${got.statusText}` } });
  if (!type.includes("json") || !text) return;
  try {
    const value = fromJson(text);
    update({ value, hasValue: true, problem: got.ok ? null : problemOf(value) });
  } catch {
    // Not JSON after all: the text is shown.
  }
}

function isText(type: string): boolean {
  return type.startsWith("text/") || type.includes("json") || type.includes("xml") || type === "";
}

async function takeStream(body: ReadableStream<Uint8Array>, type: string, update: (changes: Partial<Answer>) => void, since: () => number): Promise<void> {
  const items: unknown[] = [];
  let size = 0;
  let shown = 0;
  let first: number | null = null;
  const add = (text: string) => {
    size += text.length;
    if (items.length < KEPT) items.push(readable(text));
    first ??= since();
    // A frame takes all that came since the last one.
    if (performance.now() - shown > 16) {
      shown = performance.now();
      update({ items: [...items], size, first });
    }
  };
  update({ items });
  let problem: Problem | null = null;
  if (type === "application/x-ndjson")
    for await (const line of linesOf(body)) {
      const value = readable(line);
      if (isObject(value) && isObject(value.error) && Object.keys(value).length === 1) problem = problemOf(value.error);
      else add(line);
    }
  else
    for await (const { event, data } of eventsOf(body))
      if (event === "error") problem = problemOf(readable(data));
      else if (event !== "end" && data !== "[DONE]") add(data);
  update({ items: [...items], size, problem, ...(first === null ? {} : { first }) });
}

function readable(text: string): unknown {
  try {
    return fromJson(text);
  } catch {
    return text;
  }
}

const NO_PROBLEM: Problem = { title: "", code: "", help: "", fields: [], stacks: [], executor: "" };

/** What the body of an error says, in our form or in that of others. */
export function problemOf(value: unknown): Problem {
  if (!isObject(value)) return { ...NO_PROBLEM, title: typeof value === "string" ? value : "an error without words" };
  const inner = isObject(value.error) ? value.error : value;
  const errors = Array.isArray(inner.errors) ? inner.errors.filter(isObject) : [];
  const words = [inner.title, inner.detail, inner.message, inner.error].find((one) => typeof one === "string" && one);
  return {
    title: String(words ?? "an error without words"),
    code: String(inner.code ?? inner.type ?? ""),
    help: typeof inner.help === "string" ? inner.help : "",
    fields: errors.map((one) => ({ path: (Array.isArray(one.loc) ? one.loc : []).join("."), message: String(one.msg ?? "") })),
    stacks: Array.isArray(inner.stacks) ? inner.stacks.map(String) : [],
    executor: typeof inner.executor === "string" ? inner.executor : "",
  };
}

/** The same over a WebSocket, which takes no key from a browser. */
export function answerOfSocket(endpoint: Endpoint, draft: Draft, stop: AbortSignal, show: (answer: Answer) => void): Promise<Answer> {
  const began = performance.now();
  const id = `console-${Math.random().toString(16).slice(2, 14)}`;
  let answer: Answer = { ...EMPTY, items: [], requestId: id, type: "websocket" };
  const update = (changes: Partial<Answer>) => {
    answer = { ...answer, ...changes, took: (performance.now() - began) / 1000 };
    show(answer);
  };
  update({});
  return new Promise((resolve) => {
    const url = new URL(address(endpoint.path));
    url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
    const socket = new WebSocket(url, "json");
    const items: unknown[] = [];
    let shown = 0;
    const end = (changes: Partial<Answer>) => {
      if (!answer.running) return;
      update({ ...changes, items: [...items], running: false });
      socket.close();
      resolve(answer);
    };
    stop.addEventListener("abort", () => end({ stopped: true }));
    socket.onopen = () => socket.send(frameOf(endpoint, draft, id));
    socket.onerror = () => end({ problem: { ...NO_PROBLEM, title: "no WebSocket here", help: key.value ? "a browser cannot send a key with one: use HTTP" : "the server needs the extra `websockets`, or the port is HTTP only" } });
    socket.onclose = () => end(items.length ? {} : { problem: answer.problem ?? { ...NO_PROBLEM, title: "the server closed the WebSocket" } });
    socket.onmessage = ({ data }) => {
      const frame = readable(String(data));
      if (!isObject(frame)) return;
      const status = Number(frame.status) || 0;
      if (status >= 400 || typeof frame.code === "string") return end({ status, problem: problemOf(frame) });
      const docs = Array.isArray(frame.data) ? frame.data : [];
      items.push(...docs);
      if (answer.first === null && docs.length) update({ first: (performance.now() - began) / 1000, status: 200, statusText: "OK" });
      const more = endpoint.streams && docs.length > 0;
      if (!more) return end({ status: 200, statusText: "OK", size: items.length });
      if (performance.now() - shown > 16) {
        shown = performance.now();
        update({ items: [...items], status: 200, statusText: "OK" });
      }
    };
  });
}
