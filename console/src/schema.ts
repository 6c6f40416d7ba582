/** What an OpenAPI document says of the endpoints, in the shape that forms need. */
import { isObject } from "./merge.ts";

export type Schema = Record<string, unknown>;

/** What a value may be. `nullable` ones may also be left out as null. */
export interface Field {
  kind: "text" | "number" | "flag" | "choice" | "file" | "tensor" | "list" | "map" | "object" | "union" | "json" | "nothing";
  title: string;
  description: string;
  nullable: boolean;
  schema: Schema;
  /** What is taken where nothing is given; undefined where there is no such. */
  preset: unknown;
  /** An example that the schema gives. */
  example: unknown;
  /** Of a number: whether it has no fraction. */
  whole?: boolean;
  /** Of a choice: what may be chosen. */
  options?: unknown[];
  /** Of a file: which media types, such as `image/*`; whether it is a field of plain bytes. */
  accepts?: string[];
  bytes?: boolean;
  /** Of a tensor: its lengths, where they are fixed. */
  shape?: (number | null)[];
  /** Of a list or map: the schema of one value. */
  item?: Schema;
  /** Of a union: the schemas. */
  branches?: Schema[];
  /** Of an object: its fields by name. */
  properties?: { name: string; schema: Schema; required: boolean }[];
}

/** Where the parts of a request stand. */
export interface Slot {
  name: string;
  place: "path" | "query" | "header";
  required: boolean;
  description: string;
  schema: Schema;
  /** Whether the value is JSON in the query. */
  json: boolean;
}

export interface Endpoint {
  /** Method and path, such as `POST /search`: what the page calls it in addresses. */
  id: string;
  path: string;
  method: string;
  executor: string;
  summary: string;
  description: string;
  streams: boolean;
  writes: boolean;
  /** Of the server itself, such as probes. */
  own: boolean;
  slots: Slot[];
  body: Schema | null;
  bodyRequired: boolean;
  /** Whether the body is Jina's envelope of documents and parameters. */
  envelope: boolean;
  document: Schema | null;
  parameters: Schema | null;
  example: unknown;
  answer: Schema | null;
}

export interface Api {
  title: string;
  version: string;
  description: string;
  endpoints: Endpoint[];
  root: Schema;
  keys: boolean;
}

const METHODS = ["post", "put", "patch", "get", "delete"];

/** Follow a reference such as `#/components/schemas/Doc`, also into parts of a schema. */
export function resolve(schema: unknown, root: Schema): Schema {
  let found: unknown = schema;
  for (let depth = 0; depth < 32 && isObject(found) && typeof found.$ref === "string"; depth++) {
    const { $ref: target, ...beside } = found;
    let at: unknown = root;
    for (const part of target.replace(/^#\/?/, "").split("/"))
      at = part && isObject(at) ? at[decodeURIComponent(part).replace(/~1/g, "/").replace(/~0/g, "~")] : undefined;
    found = isObject(at) ? { ...at, ...beside } : {};
  }
  return isObject(found) ? found : {};
}

export function apiOf(document: unknown): Api {
  const root = isObject(document) ? document : {};
  const about = isObject(root.info) ? root.info : {};
  const endpoints: Endpoint[] = [];
  const paths = isObject(root.paths) ? root.paths : {};
  for (const [path, item] of Object.entries(paths)) {
    if (!isObject(item)) continue;
    const methods = METHODS.filter((method) => isObject(item[method]));
    // What answers POST and GET alike is shown once.
    for (const method of methods) {
      const operation = item[method] as Schema;
      const twin = method === "get" && isObject(item.post) && sameAnswer(item.post, operation);
      if (!twin) endpoints.push(endpointOf(path, method, operation, root));
    }
  }
  return {
    title: text(about.title),
    version: text(about.version),
    description: text(about.description),
    endpoints,
    root,
    keys: Array.isArray(root.security) && root.security.length > 0,
  };
}

function sameAnswer(one: Schema, other: Schema): boolean {
  return one.summary === other.summary && JSON.stringify(one.tags) === JSON.stringify(other.tags) && !isServer(other);
}

function isServer(operation: Schema): boolean {
  return Array.isArray(operation.tags) && operation.tags.includes("server");
}

function endpointOf(path: string, method: string, operation: Schema, root: Schema): Endpoint {
  const request = resolve(operation.requestBody, root);
  const content = isObject(request.content) ? request.content : {};
  const json = isObject(content["application/json"]) ? content["application/json"] : null;
  const body = json && isObject(json.schema) ? json.schema : null;
  const resolved = body ? resolve(body, root) : {};
  const parts = isObject(resolved.properties) ? resolved.properties : {};
  const envelope = isObject(parts.data) && isObject(parts.header) && isObject(parts.parameters);
  const answer = resolve(isObject(operation.responses) ? operation.responses["200"] : null, root);
  const answers = isObject(answer.content) ? answer.content : {};
  const first = Object.values(answers)[0];
  return {
    id: `${method.toUpperCase()} ${path}`,
    path,
    method: method.toUpperCase(),
    executor: Array.isArray(operation.tags) ? text(operation.tags[0]) : "",
    summary: text(operation.summary),
    description: text(operation.description),
    streams: "text/event-stream" in answers && !("application/json" in answers),
    writes: operation["x-jina-write"] === true,
    own: isServer(operation),
    slots: slotsOf(operation, root),
    body,
    bodyRequired: request.required === true,
    envelope,
    document: envelope ? documentOf(parts.data as Schema) : null,
    parameters: envelope ? (parts.parameters as Schema) : null,
    example: json?.example,
    answer: isObject(first) && isObject(first.schema) ? first.schema : null,
  };
}

function documentOf(data: Schema): Schema {
  const list = Array.isArray(data.anyOf) ? data.anyOf.find((one) => isObject(one) && one.type === "array") : data;
  return isObject(list) && isObject(list.items) ? list.items : {};
}

function slotsOf(operation: Schema, root: Schema): Slot[] {
  const found: Slot[] = [];
  for (const one of Array.isArray(operation.parameters) ? operation.parameters : []) {
    const parameter = resolve(one, root);
    const content = isObject(parameter.content) ? parameter.content["application/json"] : null;
    const schema = isObject(content) ? content.schema : parameter.schema;
    const place = text(parameter.in);
    if (place !== "path" && place !== "query" && place !== "header") continue;
    found.push({
      name: text(parameter.name),
      place,
      required: parameter.required === true,
      description: text(parameter.description),
      schema: isObject(schema) ? schema : {},
      json: isObject(content),
    });
  }
  return found;
}

export function text(value: unknown): string {
  return typeof value === "string" ? value : "";
}

/** What a schema allows. Endless ones are fine: one level is looked at. */
export function fieldOf(given: unknown, root: Schema, name = ""): Field {
  let schema = resolve(given, root);
  let nullable = false;
  const outer = schema;
  const all = schema.allOf;
  if (Array.isArray(all) && all.length) schema = merge(all.map((part) => resolve(part, root)), schema);
  const choices = schema.anyOf ?? schema.oneOf;
  let branches: Schema[] = [];
  if (Array.isArray(choices)) {
    branches = choices.filter(isObject).filter((branch) => resolve(branch, root).type !== "null");
    nullable = branches.length < choices.length;
    if (branches.length === 1) {
      const only = resolve(branches[0], root);
      const { anyOf: _, oneOf: __, ...beside } = schema;
      schema = { ...only, ...beside, title: beside.title ?? only.title };
      branches = [];
    }
  }
  if (Array.isArray(schema.type)) {
    const types = schema.type.filter((type) => type !== "null");
    nullable ||= types.length < schema.type.length;
    if (types.length > 1) branches = types.map((type) => ({ ...schema, type }));
    schema = { ...schema, type: types[0] };
  }
  const examples = schema.examples ?? outer.examples;
  const field: Field = {
    kind: "json",
    title: name || text(schema.title),
    description: text(outer.description ?? schema.description),
    nullable,
    schema,
    preset: "default" in outer ? outer.default : schema.default,
    example: Array.isArray(examples) ? examples[0] : (outer.example ?? schema.example),
  };
  if (branches.length > 1) return { ...field, kind: "union", branches };
  return shaped(field, schema, root);
}

function merge(parts: Schema[], outer: Schema): Schema {
  const result: Schema = {};
  for (const part of [...parts, { ...outer, allOf: undefined }])
    for (const [key, value] of Object.entries(part))
      if (value === undefined) continue;
      else if (key === "properties" && isObject(value) && isObject(result.properties))
        result.properties = { ...result.properties, ...value };
      else if (key === "required" && Array.isArray(value) && Array.isArray(result.required))
        result.required = [...result.required, ...value];
      else result[key] = value;
  return result;
}

function shaped(field: Field, schema: Schema, root: Schema): Field {
  if (Array.isArray(schema.enum)) {
    const options = schema.enum.filter((one) => one !== null);
    return { ...field, kind: "choice", options, nullable: field.nullable || options.length < schema.enum.length };
  }
  if ("const" in schema) return { ...field, kind: "choice", options: [schema.const] };
  if ("tensor/array shape" in schema) return { ...field, kind: "tensor", shape: shapeOf(schema["tensor/array shape"]) };
  switch (schema.type) {
    case "string":
      if (schema.format === "binary" || schema.contentEncoding === "base64" || schema["x-jina"] === "file") {
        const accepts = Array.isArray(schema["x-media-types"]) ? schema["x-media-types"].map(String) : [];
        return { ...field, kind: "file", accepts, bytes: schema["x-jina"] !== "file" };
      }
      return { ...field, kind: "text" };
    case "integer":
    case "number":
      return { ...field, kind: "number", whole: schema.type === "integer" };
    case "boolean":
      return { ...field, kind: "flag" };
    case "null":
      return { ...field, kind: "nothing" };
    case "array":
      return isObject(schema.items) && Object.keys(schema.items).length ? { ...field, kind: "list", item: schema.items } : field;
    default:
      return objectField(field, schema, root);
  }
}

function objectField(field: Field, schema: Schema, root: Schema): Field {
  if (isObject(schema.properties) && Object.keys(schema.properties).length) {
    const required = Array.isArray(schema.required) ? schema.required : [];
    const properties = Object.entries(schema.properties).map(([name, one]) => ({
      name,
      schema: isObject(one) ? one : {},
      required: required.includes(name),
    }));
    return { ...field, kind: "object", properties };
  }
  const values = schema.additionalProperties;
  if (isObject(values) && Object.keys(values).length && fieldOf(values, root).kind !== "json")
    return { ...field, kind: "map", item: values };
  return field;
}

function shapeOf(value: unknown): (number | null)[] {
  const lengths = text(value).match(/^\[(.*)\]$/)?.[1];
  if (!lengths) return [];
  return lengths.split(",").map((part) => (/^\s*\d+\s*$/.test(part) ? Number(part) : null));
}

/** What a form begins with. Fields that need no value are left out, so that the server's presets hold. */
export function initial(given: unknown, root: Schema, depth = 0): unknown {
  const field = fieldOf(given, root);
  if (field.kind === "object") {
    const value: Record<string, unknown> = {};
    for (const one of field.properties ?? []) {
      const inner = fieldOf(one.schema, root, one.name);
      const example = own(one.schema, inner);
      if (one.required && depth < 6) value[one.name] = example ?? initial(one.schema, root, depth + 1);
      else if (inner.kind === "flag" && typeof inner.preset === "boolean") value[one.name] = inner.preset;
      else if (example !== undefined && !isIdentity(one.name, inner)) value[one.name] = example;
    }
    return value;
  }
  if (field.preset !== undefined && field.preset !== null) return field.preset;
  switch (field.kind) {
    case "text":
      return "";
    case "number":
      return field.nullable ? null : 0;
    case "flag":
      return false;
    case "choice":
      return field.options?.[0] ?? null;
    case "list":
      return [];
    case "map":
      return {};
    case "union":
      return field.nullable || depth >= 6 ? null : initial(field.branches?.[0], root, depth + 1);
    case "json":
      return field.schema.type === "array" ? [] : {};
    case "tensor":
    case "file":
    case "nothing":
      return null;
  }
}

/** An example that the author of the field gave on purpose: those of DocArray's own classes only show the form. */
function own(schema: Schema, field: Field): unknown {
  return Array.isArray(schema.examples) && field.kind !== "file" ? schema.examples[0] : undefined;
}

/** Whether a field is the id that DocArray gives each document. */
export function isIdentity(name: string, field: Field): boolean {
  return name === "id" && field.description.startsWith("The ID of the BaseDoc");
}

/** Fields that few need: they wait behind "more fields". */
export function isRare(name: string, field: Field, required: boolean): boolean {
  if (required) return false;
  return isIdentity(name, field) || (["tensor", "embedding", "bytes_", "url"].includes(name) && field.nullable);
}

/** The value without what was not given. */
export function cleaned(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(cleaned);
  if (!isObject(value)) return value;
  const result: Record<string, unknown> = {};
  for (const [name, one] of Object.entries(value)) if (one !== undefined) result[name] = cleaned(one);
  return result;
}
