/** How the page reaches the server that served it: never another one. */
import { signal } from "@preact/signals";

const STORED = "jina.console.key";
const MARK = "#key=";

/** The key of the caller, empty where none is needed or known yet. */
export const key = signal(takeKey());
/** Whether the server asked for a key, and what it said. */
export const refused = signal<"" | "missing" | "wrong" | "scope">("");
export const refusal = signal("");

function takeKey(): string {
  if (location.hash.startsWith(MARK)) {
    const given = decoded(location.hash.slice(MARK.length));
    history.replaceState(null, "", location.pathname + location.search);
    store(given);
    return given;
  }
  try {
    return sessionStorage.getItem(STORED) ?? "";
  } catch {
    return "";
  }
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // a key that was put there as it is
  }
}

function store(value: string): void {
  try {
    if (value) sessionStorage.setItem(STORED, value);
    else sessionStorage.removeItem(STORED);
  } catch {
    // A browser that keeps nothing: the key lives as long as the page.
  }
}

export function useKey(value: string): void {
  store(value);
  key.value = value;
  refused.value = "";
}

/** Where the server is mounted, with a slash at the end. */
export const base = new URL(location.pathname.replace(/console\/*$/, "") || "/", location.origin);

export function address(path: string): string {
  return new URL(path.replace(/^\/+/, ""), base).href;
}

export class Refused extends Error {
  constructor(
    readonly status: number,
    message: string,
    readonly retryAfter: number,
  ) {
    super(message);
  }
}

/** A request to the server itself, with the key. */
export function send(path: string, init: RequestInit = {}): Promise<Response> {
  const headers = new Headers(init.headers);
  if (key.value) headers.set("X-API-Key", sendable(key.value));
  return fetch(address(path), { ...init, headers, cache: "no-store", credentials: "same-origin" });
}

/** A header holds bytes alone: what has other letters is sent as UTF-8, and the server says that it is not a key. */
function sendable(text: string): string {
  return String.fromCharCode(...new TextEncoder().encode(text)).replace(/[\0\r\n]/g, "");
}

/** A request of the console; raises `Refused` for any answer but 2xx. */
export async function ask(path: string, init: RequestInit = {}): Promise<Response> {
  const answer = await send(path, init);
  if (answer.ok) return answer;
  const said = await detailOf(answer);
  if (answer.status === 401) refused.value = key.value ? "wrong" : "missing";
  if (answer.status === 403 && path.startsWith("console/info")) refused.value = "scope";
  refusal.value = said;
  throw new Refused(answer.status, said, Number(answer.headers.get("retry-after")) || 0);
}

async function detailOf(answer: Response): Promise<string> {
  try {
    const body: unknown = await answer.json();
    const told = body as { detail?: unknown; title?: unknown; help?: unknown };
    const text = typeof told.detail === "string" ? told.detail : String(told.title ?? answer.statusText);
    return typeof told.help === "string" && told.help ? `${text} (${told.help})` : text;
  } catch {
    return `${answer.status} ${answer.statusText}`;
  }
}
