/** What somebody filled in, as a request. */
import { isObject } from "./merge.ts";
import { type Endpoint, type Schema, cleaned, initial } from "./schema.ts";
import { toJson } from "./json.ts";

export interface Draft {
  slots: Record<string, unknown>;
  documents: unknown[];
  parameters: unknown;
  body: unknown;
  /** Of an endpoint that any body may name. */
  target: string;
}

export interface Sendable {
  method: string;
  /** Relative to where the server is mounted, with the query. */
  path: string;
  headers: Record<string, string>;
  body: string | null;
}

export function draftOf(endpoint: Endpoint, root: Schema): Draft {
  const slots: Record<string, unknown> = {};
  for (const slot of endpoint.slots) if (slot.required) slots[slot.name] = initial(slot.schema, root);
  const given = isObject(endpoint.example) && Array.isArray(endpoint.example.data) ? (endpoint.example.data as unknown[]) : null;
  const fresh = initial(endpoint.document ?? {}, root);
  const parameters = endpoint.parameters ? initial(endpoint.parameters, root) : {};
  return {
    slots,
    documents: given ? given.map((one) => (isObject(one) ? { ...(fresh as object), ...one } : one)) : [fresh],
    parameters,
    body: endpoint.body && !endpoint.envelope ? (endpoint.example ?? initial(endpoint.body, root)) : {},
    target: "",
  };
}

/** The JSON body; undefined where the endpoint takes none. */
export function bodyOf(endpoint: Endpoint, draft: Draft): unknown {
  if (!endpoint.body) return undefined;
  if (!endpoint.envelope) return cleaned(draft.body);
  const parameters = cleaned(draft.parameters);
  const envelope: Record<string, unknown> = { data: cleaned(draft.documents) };
  if (isObject(parameters) ? Object.keys(parameters).length : parameters !== undefined) envelope.parameters = parameters;
  if (endpoint.path === "/post") envelope.execEndpoint = draft.target || "/";
  return envelope;
}

/** What goes into the form from a body that somebody wrote as JSON. */
export function draftWith(endpoint: Endpoint, draft: Draft, body: unknown): Draft {
  if (!endpoint.envelope) return { ...draft, body };
  if (Array.isArray(body)) return { ...draft, documents: body };
  if (!isObject(body)) return draft;
  if (!("data" in body || "parameters" in body || "execEndpoint" in body)) return { ...draft, documents: [body] };
  const data = body.data;
  return {
    ...draft,
    documents: Array.isArray(data) ? data : data === undefined || data === null ? [] : [data],
    parameters: body.parameters ?? {},
    target: typeof body.execEndpoint === "string" ? body.execEndpoint : draft.target,
  };
}

export function requestOf(endpoint: Endpoint, draft: Draft, raw?: string): Sendable {
  const headers: Record<string, string> = {};
  const query = new URLSearchParams();
  let path = endpoint.path;
  for (const slot of endpoint.slots) {
    const value = cleaned(draft.slots[slot.name]);
    if (value === undefined || value === null || (slot.json && isObject(value) && !Object.keys(value).length)) continue;
    const text = typeof value === "string" && !slot.json ? value : toJson(value);
    if (slot.place === "path") path = path.replace(`{${slot.name}}`, encodeURIComponent(text));
    else if (slot.place === "header") headers[slot.name] = text;
    else if (Array.isArray(value)) for (const one of value) query.append(slot.name, typeof one === "string" ? one : toJson(one));
    else query.set(slot.name, text);
  }
  const body = raw ?? (endpoint.body ? toJson(bodyOf(endpoint, draft)) : null);
  if (body !== null) headers["content-type"] = "application/json";
  const search = query.toString();
  return { method: endpoint.method, path: search ? `${path}?${search}` : path, headers, body };
}

/** The frame of a WebSocket that asks the same. */
export function frameOf(endpoint: Endpoint, draft: Draft, id: string): string {
  const envelope = endpoint.envelope ? (bodyOf(endpoint, draft) as Record<string, unknown>) : { data: [cleaned(draft.body)] };
  return toJson({ ...envelope, header: { request_id: id } });
}
