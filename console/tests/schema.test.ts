import assert from "node:assert/strict";
import { test } from "node:test";
import { apiOf, cleaned, fieldOf, initial, resolve } from "../src/schema.ts";
import { bodyOf, draftOf, draftWith, requestOf } from "../src/request.ts";

const ROOT = {
  info: { title: "shop", version: "1" },
  security: [{ header: [] }],
  components: {
    schemas: {
      Doc: {
        type: "object",
        required: ["text"],
        properties: {
          id: { anyOf: [{ type: "string" }, { type: "null" }], description: "The ID of the BaseDoc. Such a long story" },
          text: { type: "string", examples: ["hello"] },
          flag: { type: "boolean", default: true },
          next: { anyOf: [{ $ref: "#/components/schemas/Doc" }, { type: "null" }], default: null },
          list: { type: "array", items: { $ref: "#/components/schemas/Doc" } },
          vector: { anyOf: [{ type: "array", items: { type: "number" }, "tensor/array shape": "[2, 3]" }, { type: "null" }] },
          either: { anyOf: [{ type: "integer" }, { type: "string" }] },
          scores: { type: "object", additionalProperties: { type: "number" } },
        },
      },
      Value: { type: "object", properties: { value: { type: "integer" } } },
    },
  },
  paths: {
    "/search": {
      post: {
        tags: ["Index"],
        summary: "Find",
        requestBody: {
          required: true,
          content: {
            "application/json": {
              schema: {
                type: "object",
                properties: {
                  data: { anyOf: [{ type: "array", items: { $ref: "#/components/schemas/Doc" } }, { $ref: "#/components/schemas/Doc" }] },
                  parameters: { type: "object", additionalProperties: true },
                  header: { type: "object" },
                },
              },
              example: { data: [{ text: "given" }] },
            },
          },
        },
        responses: { "200": { content: { "application/json": { schema: {} } } } },
      },
    },
    "/count": {
      get: {
        tags: ["Index"],
        summary: "Count",
        parameters: [
          { name: "n", in: "query", required: true, schema: { type: "integer" } },
          { name: "parameters", in: "query", content: { "application/json": { schema: { type: "object" } } } },
        ],
        responses: { "200": { content: { "text/event-stream": { schema: {} } } } },
      },
      post: {
        tags: ["Index"],
        summary: "Count",
        requestBody: { content: { "application/json": { schema: { $ref: "#/components/schemas/Value/properties/value" } } } },
        responses: { "200": { content: { "text/event-stream": { schema: {} } } } },
      },
    },
    "/livez": { get: { tags: ["server"], responses: {} } },
    "/items/{item}": { put: { parameters: [{ name: "item", in: "path", required: true, schema: { type: "string" } }], responses: {} } },
  },
};

const api = apiOf(ROOT);
const search = api.endpoints.find((one) => one.path === "/search");
const doc = ROOT.components.schemas.Doc;

test("endpoints are read out of the document", () => {
  assert.deepEqual(api.endpoints.map((one) => one.id), ["POST /search", "POST /count", "GET /livez", "PUT /items/{item}"]);
  assert.equal(api.keys, true);
  assert.ok(search?.envelope);
  assert.equal(search?.streams, false);
  assert.equal(api.endpoints[1]?.streams, true);
  assert.equal(api.endpoints[2]?.own, true);
});

test("references lead into parts of schemas", () => {
  assert.deepEqual(resolve({ $ref: "#/components/schemas/Value/properties/value" }, ROOT), { type: "integer" });
  assert.deepEqual(resolve({ $ref: "#/nowhere" }, ROOT), {});
  const circle = { a: { $ref: "#/b" }, b: { $ref: "#/a" } };
  assert.equal(typeof resolve({ $ref: "#/a" }, circle), "object");
});

test("fields are what they are", () => {
  const kinds = Object.fromEntries(Object.entries(doc.properties).map(([name, schema]) => [name, fieldOf(schema, ROOT, name).kind]));
  assert.deepEqual(kinds, { id: "text", text: "text", flag: "flag", next: "object", list: "list", vector: "tensor", either: "union", scores: "map" });
  assert.deepEqual(fieldOf(doc.properties.vector, ROOT).shape, [2, 3]);
  assert.equal(fieldOf(doc.properties.next, ROOT).nullable, true);
  assert.equal(fieldOf({ type: ["string", "null"] }, ROOT).nullable, true);
  assert.equal(fieldOf({ enum: ["a", null] }, ROOT).kind, "choice");
  assert.equal(fieldOf({ allOf: [{ type: "object", properties: { x: {} } }, { properties: { y: {} } }] }, ROOT).properties?.length, 2);
  assert.equal(fieldOf(true, ROOT).kind, "json");
});

test("a form begins with what is needed", () => {
  assert.deepEqual(initial(doc, ROOT), { text: "hello", flag: true });
  const endless = { A: { type: "object", required: ["a"], properties: { a: { $ref: "#/A" } } } };
  assert.ok(initial({ $ref: "#/A" }, endless));
});

test("what was left out is not sent", () => {
  assert.deepEqual(cleaned({ a: undefined, b: [{ c: undefined }], d: null }), { b: [{}], d: null });
});

test("the body is Jina's envelope, or what the method takes", () => {
  assert.ok(search);
  const draft = draftOf(search, ROOT);
  assert.deepEqual(bodyOf(search, draft), { data: [{ text: "given", flag: true }] });
  const count = api.endpoints[1];
  assert.ok(count);
  assert.equal(bodyOf(count, { ...draftOf(count, ROOT), body: 3 }), 3);
});

test("a body that was written goes back into the form", () => {
  assert.ok(search);
  const draft = draftOf(search, ROOT);
  assert.deepEqual(draftWith(search, draft, [{ text: "x" }]).documents, [{ text: "x" }]);
  assert.deepEqual(draftWith(search, draft, { text: "x" }).documents, [{ text: "x" }]);
  assert.deepEqual(draftWith(search, draft, { data: { text: "y" }, parameters: { k: 1 } }).parameters, { k: 1 });
});

test("values in paths and queries are encoded", () => {
  const put = api.endpoints[3];
  assert.ok(put);
  const request = requestOf(put, { ...draftOf(put, ROOT), slots: { item: "a/b?c" } });
  assert.equal(request.path, "/items/a%2Fb%3Fc");
  assert.equal(request.body, null);
});
