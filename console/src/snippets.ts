/** The same request from elsewhere. Every value is quoted for the language that it goes into. */
import { mediaOf } from "./media.ts";
import { isObject } from "./merge.ts";
import { bodyOf, type Draft, type Sendable } from "./request.ts";
import { type Endpoint, type Schema, fieldOf, resolve } from "./schema.ts";

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

/** A Python literal; with `files`, data URLs are the bytes that they hold. */
export function python(value: unknown, indent = "", files = false): string {
  if (value === null || value === undefined) return "None";
  if (value === true) return "True";
  if (value === false) return "False";
  if (typeof value === "bigint") return String(value);
  if (typeof value === "number") return Number.isFinite(value) ? String(value) : `float('${String(value).replace("Infinity", "inf").toLowerCase()}')`;
  if (typeof value === "string") return files && mediaOf(value) ? `urlopen(${pythonText(value)}).read()` : pythonText(value);
  const inner = `${indent}    `;
  if (Array.isArray(value)) return lay("[", value.map((one) => python(one, inner, files)), "]", indent);
  const parts = Object.entries(value as object).map(([name, one]) => `${pythonText(name)}: ${python(one, inner, files)}`);
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

const TYPES: Record<string, string> = { integer: "int", number: "float", string: "str", boolean: "bool", object: "dict", array: "list" };

/** What the method gives, as a type of Python's. */
function answerType(endpoint: Endpoint, root: Schema): string {
  if (endpoint.envelope) return endpoint.streams ? "dict" : "list[dict]";
  const schema = resolve(endpoint.answer ?? {}, root);
  if (schema["x-jina"] === "file") return "File";
  if (schema.format === "binary") return "bytes";
  return TYPES[String(schema.type)] ?? "dict";
}

const NAME = /^(?!(?:False|None|True|and|as|assert|async|await|break|class|continue|def|del|elif|else|except|finally|for|from|global|if|import|in|is|lambda|nonlocal|not|or|pass|raise|return|try|while|with|yield)$)[A-Za-z_]\w*$/;

/** A document of a class that takes any field, so that the snippet needs no class of the service's. */
function pythonDoc(value: unknown): string {
  if (!isObject(value)) return python(value);
  const names = Object.keys(value);
  if (!names.every((name) => NAME.test(name))) return `Doc(**${python(value, "", true)})`;
  const words = names.map((name) => `${name}=${python(value[name], "    ", true)}`);
  return lay("Doc(", words, ")", "");
}

export function pythonClient(endpoint: Endpoint, draft: Draft, root: Schema, host: string, closed: boolean): string {
  const body = bodyOf(endpoint, draft);
  const envelope = endpoint.envelope && isObject(body) ? body : null;
  const queries = Object.fromEntries(endpoint.slots.filter((slot) => slot.place === "query" && !slot.json && draft.slots[slot.name] !== undefined).map((slot) => [slot.name, draft.slots[slot.name]]));
  const parameters = envelope ? envelope.parameters : endpoint.body ? queries : undefined;
  const path = envelope && typeof envelope.execEndpoint === "string" ? envelope.execEndpoint : endpoint.path;
  const given = envelope ? envelope.data : endpoint.body ? body : queries;
  const typed = envelope !== null && fieldOf(endpoint.document ?? {}, root).kind === "object" && fieldOf(endpoint.document ?? {}, root).schema.title !== "Document";
  const one = endpoint.streams && Array.isArray(given) ? given[0] : given;
  const inputs = !typed ? python(one) : Array.isArray(one) ? lay("[", one.map(pythonDoc), "]", "") : pythonDoc(one);
  const type = answerType(endpoint, root);
  const words = [pythonText(path), inputs];
  if (isObject(parameters) && Object.keys(parameters).length) words.push(`parameters=${python(parameters)}`);
  words.push(`return_type=${type}`);
  const files = typed && inputs.includes("urlopen(");
  const lines = [
    ...(closed ? ["import os"] : []),
    ...(files ? ["from urllib.request import urlopen"] : []),
    ...(closed || files ? [""] : []),
    ...(typed ? ["from docarray import BaseDoc"] : []),
    `from jina import Client${type === "File" ? ", File" : ""}`,
    "",
    ...(typed ? ["", "class Doc(BaseDoc, extra='allow'):", "    pass", "", ""] : []),
    `client = Client(host=${pythonText(host)}${closed ? ", api_key=os.environ['JINA_API_KEY']" : ""})`,
  ];
  const call = `client.${endpoint.streams ? "stream_doc" : "post"}(${words.join(", ")})`;
  lines.push(...(endpoint.streams ? [`for one in ${call}:`, "    print(one)"] : [`print(${call})`]));
  return `${lines.join("\n")}\n`;
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

