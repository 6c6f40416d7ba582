/** The same request from elsewhere. Every value is quoted for the language that it goes into. */
import { isObject } from "./merge.ts";
import { bodyOf, type Draft, type Sendable } from "./request.ts";
import type { Endpoint } from "./schema.ts";

export function curl(request: Sendable, origin: string, closed: boolean, streams: boolean): string {
  const url = origin.replace(/\/$/, "") + request.path;
  const words = [`curl ${streams ? "-N " : ""}${shell(url)}`];
  if (request.method !== (request.body === null ? "GET" : "POST")) words.push(`-X ${request.method}`);
  if (closed) words.push('-H "x-api-key: $JINA_API_KEY"');
  for (const [name, value] of Object.entries(request.headers)) words.push(`-H ${shell(`${name}: ${value}`)}`);
  // With @ in front, curl would read a file.
  if (request.body !== null) words.push(`--data-raw ${shell(request.body)}`);
  return words.join(" \\\n  ");
}

/** A word that a POSIX shell takes as it is. */
export function shell(text: string): string {
  return /^[\w./:=@%+-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

/** A Python literal. */
export function python(value: unknown, indent = ""): string {
  if (value === null || value === undefined) return "None";
  if (value === true) return "True";
  if (value === false) return "False";
  if (typeof value === "bigint") return String(value);
  if (typeof value === "number") return Number.isFinite(value) ? String(value) : `float('${String(value).replace("Infinity", "inf").toLowerCase()}')`;
  if (typeof value === "string") return pythonText(value);
  const inner = `${indent}    `;
  if (Array.isArray(value)) {
    const parts = value.map((one) => python(one, inner));
    return lay("[", parts, "]", indent);
  }
  const parts = Object.entries(value as object).map(([name, one]) => `${pythonText(name)}: ${python(one, inner)}`);
  return lay("{", parts, "}", indent);
}

function lay(open: string, parts: string[], close: string, indent: string): string {
  const line = `${open}${parts.join(", ")}${close}`;
  if (line.length + indent.length <= 88 && !line.includes("\n")) return line;
  const inner = `${indent}    `;
  return `${open}\n${parts.map((part) => `${inner}${part},\n`).join("")}${indent}${close}`;
}

function pythonText(text: string): string {
  const escaped = text.replace(/[\\'\u0000-\u001f\u007f-\u009f\u2028\u2029\ud800-\udfff]/gu, (letter) => {
    if (letter === "\n") return "\\n";
    if (letter === "\r") return "\\r";
    if (letter === "\t") return "\\t";
    if (letter === "\\" || letter === "'") return `\\${letter}`;
    return `\\u${letter.charCodeAt(0).toString(16).padStart(4, "0")}`;
  });
  return `'${escaped}'`;
}

export function pythonClient(endpoint: Endpoint, draft: Draft, request: Sendable, host: string, closed: boolean): string {
  const client = `Client(host=${pythonText(host)}${closed ? ", api_key=os.environ['JINA_API_KEY']" : ""})`;
  const imports = closed ? "import os\n\nfrom jina import Client\n" : "from jina import Client\n";
  if (!endpoint.body && endpoint.method === "GET") {
    const body = Object.fromEntries(endpoint.slots.filter((slot) => slot.place === "query").map((slot) => [slot.name, draft.slots[slot.name]]).filter(([, value]) => value !== undefined));
    return pythonCall(imports, client, endpoint, body, undefined, request);
  }
  if (!endpoint.envelope) {
    const parameters = Object.fromEntries(endpoint.slots.filter((slot) => slot.place === "query" && draft.slots[slot.name] !== undefined).map((slot) => [slot.name, draft.slots[slot.name]]));
    return pythonCall(imports, client, endpoint, bodyOf(endpoint, draft), Object.keys(parameters).length ? parameters : undefined, request);
  }
  const body = bodyOf(endpoint, draft) as Record<string, unknown>;
  return pythonCall(imports, client, endpoint, body.data, body.parameters, request, typeof body.execEndpoint === "string" ? body.execEndpoint : undefined);
}

function pythonCall(imports: string, client: string, endpoint: Endpoint, inputs: unknown, parameters: unknown, request: Sendable, target?: string): string {
  const path = pythonText(target ?? endpoint.path);
  const single = Array.isArray(inputs) && inputs.length === 1 && endpoint.streams ? inputs[0] : inputs;
  const more = isObject(parameters) && Object.keys(parameters).length ? `, parameters=${python(parameters)}` : "";
  void request;
  if (endpoint.streams) return `${imports}\nclient = ${client}\nfor doc in client.stream_doc(${path}, ${python(single)}${more}):\n    print(doc)\n`;
  return `${imports}\nclient = ${client}\nprint(client.post(${path}, ${python(single)}${more}))\n`;
}

const OPENAI: Record<string, string> = {
  "/v1/chat/completions": "chat.completions.create",
  "/v1/completions": "completions.create",
  "/v1/embeddings": "embeddings.create",
  "/v1/responses": "responses.create",
};

/** The request with OpenAI's Python client; null where the endpoint is none of its API. */
export function openai(endpoint: Endpoint, draft: Draft, origin: string, closed: boolean): string | null {
  const method = OPENAI[endpoint.path];
  const body = bodyOf(endpoint, draft);
  if (!method || !isObject(body)) return null;
  const base = `${origin.replace(/\/$/, "")}/v1`;
  const key = closed ? "os.environ['JINA_API_KEY']" : "'none'";
  const words = Object.entries(body).map(([name, value]) => (/^[a-z_]\w*$/.test(name) ? `    ${name}=${python(value, "    ")},\n` : `    extra_body={${pythonText(name)}: ${python(value, "    ")}},\n`)).join("");
  const call = `client.${method}(\n${words})`;
  const head = `${closed ? "import os\n\n" : ""}from openai import OpenAI\n\nclient = OpenAI(base_url=${pythonText(base)}, api_key=${key})\n`;
  return body.stream === true ? `${head}for part in ${call}:\n    print(part)\n` : `${head}print(${call})\n`;
}

