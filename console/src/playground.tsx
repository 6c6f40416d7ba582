/** Trying the endpoints: a form for the request, the answer as it comes. */
import { signal } from "@preact/signals";
import { useEffect, useMemo, useRef } from "preact/hooks";
import { type Answer, answerOf, answerOfSocket } from "./answer.ts";
import { info, state } from "./feed.ts";
import { FieldBox, ObjectFields } from "./form.tsx";
import { bytes, clock, count, seconds } from "./format.ts";
import { fromJson, toJson } from "./json.ts";
import { Media } from "./media.tsx";
import { isObject } from "./merge.ts";
import { type Draft, bodyOf, draftOf, draftWith, requestOf } from "./request.ts";
import { go, place } from "./route.ts";
import { type Api, type Endpoint, apiOf, fieldOf, initial } from "./schema.ts";
import { base, key, refused, send } from "./server.ts";
import { curl, openai, pythonClient } from "./snippets.ts";
import { CopyButton, Empty, Icon, Tabs } from "./ui.tsx";
import { payloadOf, streamText } from "./values.ts";
import { Value } from "./view.tsx";

type Editing = "form" | "json";
type Showing = "answer" | "parts" | "json" | "headers";

interface Sheet {
  draft: Draft;
  editing: Editing;
  raw: string;
  rawTrouble: string;
  socket: boolean;
  answer: Answer | null;
  showing: Showing;
}

interface Past {
  endpoint: string;
  at: number;
  draft: Draft;
  status: number;
  took: number;
}

const api = signal<Api | null>(null);
const apiTrouble = signal("");
const sheets = signal<Map<string, Sheet>>(new Map());
const past = signal<Past[]>(recalled());
const running = new Map<string, AbortController>();

const STORED = "jina.console.history";
const PAST = 30;
const PAST_BYTES = 40_000;

function recalled(): Past[] {
  try {
    const found: unknown = JSON.parse(sessionStorage.getItem("jina.console.history") ?? "[]");
    return Array.isArray(found) ? (found as Past[]) : [];
  } catch {
    return [];
  }
}

function remember(entry: Past): void {
  past.value = [entry, ...past.value].slice(0, PAST);
  try {
    // Drafts with files are too large to keep beyond the page.
    sessionStorage.setItem(STORED, toJson(past.value.filter((one) => toJson(one.draft).length < PAST_BYTES)));
  } catch {
    // No room, or no storage: the history lives as long as the page.
  }
}

let asked: string | null = null;

export async function loadApi(): Promise<void> {
  try {
    const answer = await send("openapi.json");
    if (answer.status === 401) refused.value = key.value ? "wrong" : "missing";
    if (!answer.ok) throw new Error(answer.status === 503 ? "the service is not ready yet" : `openapi.json: ${answer.status} ${answer.statusText}`);
    api.value = apiOf(await answer.json());
    apiTrouble.value = "";
  } catch (error) {
    apiTrouble.value = error instanceof Error ? error.message : String(error);
  }
}

function sheetOf(endpoint: Endpoint, found: Api): Sheet {
  const known = sheets.value.get(endpoint.id);
  if (known) return known;
  return { draft: draftOf(endpoint, found.root), editing: "form", raw: "", rawTrouble: "", socket: false, answer: null, showing: "answer" };
}

function change(endpoint: Endpoint, found: Api, changes: Partial<Sheet>): void {
  sheets.value = new Map(sheets.value).set(endpoint.id, { ...sheetOf(endpoint, found), ...changes });
}

export function Playground() {
  const mode = info.value?.mode;
  const service = state.value?.service.state;
  useEffect(() => {
    // Asked for again when the service became ready, whose endpoints may be others then.
    const want = `${key.value}|${service === "ready" || service === "degraded"}`;
    if (mode === "user" || asked === want) return;
    asked = want;
    void loadApi();
  }, [mode, service, key.value]);
  if (mode === "user") return <Elsewhere />;
  const found = api.value;
  if (!found)
    return apiTrouble.value ? (
      <Empty title="The endpoints are not known">
        <p>{apiTrouble.value}</p>
        <button type="button" onClick={() => void loadApi()}>Ask again</button>
      </Empty>
    ) : (
      <Empty title="Asking for the endpoints…" />
    );
  const users = found.endpoints.filter((one) => !one.own);
  const chosen = found.endpoints.find((one) => one.id === place.value.rest) ?? users.find((one) => one.path !== "/post") ?? users[0];
  if (!chosen) return <Empty title="This service has no endpoints" />;
  return (
    <div class="playground">
      <EndpointList found={found} chosen={chosen} />
      <Desk key={chosen.id} found={found} endpoint={chosen} />
    </div>
  );
}

function Elsewhere() {
  const addresses = state.value?.service.addresses ?? [];
  const http = addresses.filter((one) => one.startsWith("http"));
  return (
    <Empty title="The playground is in the console of the service itself">
      {http.length ? (
        <p>Open {http.map((one, index) => <code key={index}>{one.replace("0.0.0.0", "127.0.0.1")}/console</code>)}</p>
      ) : (
        <p>This service has no HTTP port: give it <code>protocol='http'</code>.</p>
      )}
    </Empty>
  );
}

function EndpointList({ found, chosen }: { found: Api; chosen: Endpoint }) {
  const groups = new Map<string, Endpoint[]>();
  for (const one of found.endpoints) {
    const name = one.own ? "server" : one.executor || (one.path === "/post" ? "any endpoint" : "endpoints");
    groups.set(name, [...(groups.get(name) ?? []), one]);
  }
  const own = groups.get("server") ?? [];
  groups.delete("server");
  const any = groups.get("any endpoint");
  groups.delete("any endpoint");
  const links = (all: Endpoint[]) => (
    <ul>
      {all.map((one) => (
        <li key={one.id}>
          <a href={`#/playground/${encodeURIComponent(one.id)}`} aria-current={one.id === chosen.id ? "page" : undefined} class="endpoint">
            <span class="endpoint-path">{one.path}</span>
            {one.method !== "POST" && <span class="tag">{one.method}</span>}
            {one.streams && <span class="tag stream">stream</span>}
            {one.writes && <span class="tag write">write</span>}
          </a>
        </li>
      ))}
    </ul>
  );
  return (
    <nav class="endpoints" aria-label="endpoints">
      <select class="endpoints-select" aria-label="endpoint" value={chosen.id} onChange={(event) => go("playground", event.currentTarget.value)}>
        {found.endpoints.map((one) => (
          <option key={one.id} value={one.id}>{one.method === "POST" ? one.path : `${one.path} (${one.method})`}</option>
        ))}
      </select>
      <div class="endpoints-list">
        {[...groups].map(([name, all]) => (
          <section key={name}>
            <h2>{name}</h2>
            {links(all)}
          </section>
        ))}
        {any && <section><h2>any endpoint</h2>{links(any)}</section>}
        {own.length > 0 && (
          <details open={chosen.own}>
            <summary>the server's own</summary>
            {links(own)}
          </details>
        )}
        <History />
      </div>
    </nav>
  );
}

function History() {
  const entries = past.value;
  if (!entries.length) return null;
  const again = (entry: Past) => {
    const found = api.value;
    const endpoint = found?.endpoints.find((one) => one.id === entry.endpoint);
    if (!found || !endpoint) return;
    change(endpoint, found, { draft: entry.draft, editing: "form", answer: null });
    go("playground", endpoint.id);
  };
  return (
    <section>
      <h2>history</h2>
      <ul>
        {entries.slice(0, 12).map((entry, index) => (
          <li key={`${entry.at}-${index}`}>
            <button type="button" class="past" onClick={() => again(entry)} title="fill the form with this request">
              <span class={`dot ${entry.status >= 200 && entry.status < 300 ? "good" : "bad"}`} aria-hidden="true" />
              <span class="endpoint-path">{entry.endpoint.replace(/^\w+ /, "")}</span>
              <span class="past-at">{entry.status || "–"} · {clock(entry.at / 1000)}</span>
            </button>
          </li>
        ))}
      </ul>
    </section>
  );
}

function Desk({ found, endpoint }: { found: Api; endpoint: Endpoint }) {
  const sheet = sheetOf(endpoint, found);
  const update = (changes: Partial<Sheet>) => change(endpoint, found, changes);
  const errors = useMemo(() => {
    const map = new Map<string, string>();
    for (const one of sheet.answer?.problem?.fields ?? []) map.set(one.path, one.message);
    return map;
  }, [sheet.answer?.problem]);
  const submit = () => void run(endpoint, found);
  const description = endpoint.description.startsWith(endpoint.summary) ? endpoint.description.slice(endpoint.summary.length).trim() : endpoint.description;
  return (
    <div class="desk">
      <form
        class="ask"
        aria-label={`request to ${endpoint.path}`}
        onSubmit={(event) => {
          event.preventDefault();
          submit();
        }}
        onKeyDown={(event) => {
          if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
            event.preventDefault();
            submit();
          }
        }}
      >
        <header class="desk-head">
          <h2><span class="method">{endpoint.method}</span> {endpoint.path}</h2>
          {endpoint.summary && <p class="summary">{endpoint.summary}</p>}
          {description && (
            <details class="about"><summary>more</summary><p class="text">{description}</p></details>
          )}
        </header>
        {endpoint.body && (
          <Tabs
            id="editing"
            label="how to write the request"
            names={[["form", "Form"], ["json", "JSON"]]}
            chosen={sheet.editing}
            onChoose={(name) => switchTo(name as Editing, sheet, endpoint, update)}
          />
        )}
        <div id="editing-panel" role={endpoint.body ? "tabpanel" : undefined} aria-labelledby={endpoint.body ? `editing-${sheet.editing}` : undefined}>
          <Slots endpoint={endpoint} found={found} sheet={sheet} errors={errors} update={update} />
          {sheet.editing === "json" ? (
            <RawBody sheet={sheet} update={update} />
          ) : (
            <BodyForm endpoint={endpoint} found={found} sheet={sheet} errors={errors} update={update} />
          )}
        </div>
        <SendBar endpoint={endpoint} found={found} sheet={sheet} update={update} />
      </form>
      <AnswerView sheet={sheet} update={update} />
    </div>
  );
}

function switchTo(name: Editing, sheet: Sheet, endpoint: Endpoint, update: (changes: Partial<Sheet>) => void): void {
  if (name === sheet.editing) return;
  if (name === "json") {
    update({ editing: "json", raw: toJson(bodyOf(endpoint, sheet.draft), 2), rawTrouble: "" });
    return;
  }
  try {
    update({ editing: "form", draft: draftWith(endpoint, sheet.draft, fromJson(sheet.raw)), rawTrouble: "" });
  } catch (error) {
    update({ rawTrouble: `not JSON yet: ${error instanceof Error ? error.message : error}` });
  }
}

interface Part {
  endpoint: Endpoint;
  found: Api;
  sheet: Sheet;
  errors: Map<string, string>;
  update: (changes: Partial<Sheet>) => void;
}

function Slots({ endpoint, found, sheet, errors, update }: Part) {
  // What a body holds anyway is not asked for twice.
  const slots = endpoint.slots.filter((slot) => !(endpoint.body && slot.name === "parameters" && slot.json));
  if (!slots.length) return null;
  const set = (name: string, value: unknown) => update({ draft: { ...sheet.draft, slots: { ...sheet.draft.slots, [name]: value } } });
  return (
    <div class="fields">
      {slots.map((slot) => (
        <FieldBox
          key={slot.name}
          name={slot.name}
          schema={slot.description ? { description: slot.description, ...slot.schema } : slot.schema}
          root={found.root}
          required={slot.required}
          value={sheet.draft.slots[slot.name]}
          path={[slot.place, slot.name]}
          errors={errors}
          onChange={(value) => set(slot.name, value)}
        />
      ))}
    </div>
  );
}

function RawBody({ sheet, update }: { sheet: Sheet; update: (changes: Partial<Sheet>) => void }) {
  return (
    <div class="raw">
      <textarea class="code tall" aria-label="request body" spellcheck={false} value={sheet.raw} onInput={(event) => update({ raw: event.currentTarget.value, rawTrouble: "" })} />
      {sheet.rawTrouble && <p class="field-error" role="alert">{sheet.rawTrouble}</p>}
    </div>
  );
}

function BodyForm({ endpoint, found, sheet, errors, update }: Part) {
  const { draft } = sheet;
  const root = found.root;
  const set = (changes: Partial<Draft>) => update({ draft: { ...draft, ...changes } });
  if (!endpoint.body) return endpoint.slots.length ? null : <p class="nothing">This endpoint needs nothing.</p>;
  if (!endpoint.envelope) {
    const field = fieldOf(endpoint.body, root);
    return field.kind === "object" ? (
      <ObjectFields schema={endpoint.body} root={root} value={draft.body} path={["body"]} errors={errors} onChange={(body) => set({ body })} />
    ) : (
      <FieldBox name="value" schema={endpoint.body} root={root} required value={draft.body} path={["body"]} errors={errors} onChange={(body) => set({ body })} />
    );
  }
  const paths = found.endpoints.filter((one) => one.envelope && one.path !== "/post").map((one) => one.path);
  return (
    <>
      {endpoint.path === "/post" && (
        <div class="field">
          <label class="field-label" for="target"><span class="field-name">endpoint</span></label>
          <input id="target" list="targets" value={draft.target} placeholder={paths[0] ?? "/"} onInput={(event) => set({ target: event.currentTarget.value })} />
          <datalist id="targets">{paths.map((path) => <option key={path} value={path} />)}</datalist>
        </div>
      )}
      <Documents endpoint={endpoint} root={root} draft={draft} errors={errors} set={set} />
      <ParameterFields endpoint={endpoint} root={root} draft={draft} errors={errors} set={set} />
    </>
  );
}

interface BodyPart {
  endpoint: Endpoint;
  root: Api["root"];
  draft: Draft;
  errors: Map<string, string>;
  set: (changes: Partial<Draft>) => void;
}

function Documents({ endpoint, root, draft, errors, set }: BodyPart) {
  const name = String(fieldOf(endpoint.document ?? {}, root).schema.title ?? "document");
  const shape = fieldOf(endpoint.document ?? {}, root).kind;
  const replace = (index: number, value: unknown) => set({ documents: draft.documents.map((one, at) => (at === index ? value : one)) });
  return (
    <div class="documents">
      {draft.documents.map((one, index) => (
        <fieldset key={index} class="document">
          <legend>
            {name}
            {draft.documents.length > 1 ? ` ${index + 1}` : ""}
          </legend>
          {(draft.documents.length > 1 || !endpoint.streams) && (
            <button type="button" class="quiet small corner" aria-label={`remove ${name} ${index + 1}`} onClick={() => set({ documents: draft.documents.filter((_, at) => at !== index) })}>
              <Icon name="close" />
            </button>
          )}
          {shape === "object" ? (
            <ObjectFields schema={endpoint.document ?? {}} root={root} value={one} path={["body", "data", index]} errors={errors} onChange={(value) => replace(index, value)} />
          ) : (
            <FieldBox name="fields" schema={endpoint.document ?? {}} root={root} value={one} path={["body", "data", index]} errors={errors} onChange={(value) => replace(index, value)} />
          )}
        </fieldset>
      ))}
      {(!endpoint.streams || !draft.documents.length) && (
        <button type="button" class="quiet small add" onClick={() => set({ documents: [...draft.documents, initial(endpoint.document ?? {}, root)] })}>
          <Icon name="plus" />
          add a {name}
        </button>
      )}
    </div>
  );
}

function ParameterFields({ endpoint, root, draft, errors, set }: BodyPart) {
  const schema = endpoint.parameters ?? {};
  const field = fieldOf(schema, root);
  const onChange = (parameters: unknown) => set({ parameters });
  if (field.kind !== "object")
    return (
      <details class="more">
        <summary>parameters</summary>
        <FieldBox name="parameters" schema={schema} root={root} value={isObject(draft.parameters) && !Object.keys(draft.parameters).length ? undefined : draft.parameters} path={["body", "parameters"]} errors={errors} onChange={onChange} />
      </details>
    );
  return (
    <fieldset class="document">
      <legend>parameters</legend>
      <ObjectFields schema={schema} root={root} value={draft.parameters} path={["body", "parameters"]} errors={errors} onChange={onChange} />
    </fieldset>
  );
}

function SendBar({ endpoint, found, sheet, update }: Omit<Part, "errors">) {
  const busy = sheet.answer?.running === true;
  const closed = info.value?.closed === true || found.keys;
  const request = () => requestOf(endpoint, sheet.draft, sheet.editing === "json" ? sheet.raw : undefined);
  const draft = () => (sheet.editing === "json" ? tryDraft(endpoint, sheet) : sheet.draft);
  const asOpenai = openai(endpoint, sheet.draft, base.href, closed);
  const sockets = endpoint.streams && !closed && (endpoint.envelope || endpoint.body !== null);
  return (
    <div class="sendbar">
      {busy ? (
        <button
          key="stop"
          type="button"
          class="primary stop"
          onClick={(event) => {
            // Another button takes its place at once, and must not get this click.
            event.preventDefault();
            running.get(endpoint.id)?.abort();
          }}
        >
          <Icon name="stop" />
          Stop
        </button>
      ) : (
        <button key="send" type="submit" class="primary" title="Ctrl+Enter">
          <Icon name="playground" />
          Send
        </button>
      )}
      {sockets && (
        <label class="transport">
          <span class="offscreen">transport</span>
          <select value={sheet.socket ? "ws" : "http"} onChange={(event) => update({ socket: event.currentTarget.value === "ws" })}>
            <option value="http">over HTTP</option>
            <option value="ws">over WebSocket</option>
          </select>
        </label>
      )}
      <div class="copies" role="group" aria-label="copy the request">
        <CopyButton label="curl" text={() => curl(request(), base.href, closed, endpoint.streams)} />
        {!endpoint.own && <CopyButton label="Python" text={() => pythonClient(endpoint, draft(), found.root, base.origin, closed)} />}
        {asOpenai !== null && <CopyButton label="openai" text={() => openai(endpoint, draft(), base.href, closed) ?? ""} />}
      </div>
    </div>
  );
}

function tryDraft(endpoint: Endpoint, sheet: Sheet): Draft {
  try {
    return draftWith(endpoint, sheet.draft, fromJson(sheet.raw));
  } catch {
    return sheet.draft;
  }
}

async function run(endpoint: Endpoint, found: Api): Promise<void> {
  const sheet = sheetOf(endpoint, found);
  if (sheet.answer?.running) return;
  if (sheet.answer?.file) URL.revokeObjectURL(sheet.answer.file.url);
  // Where the answer is below the form, it comes into view.
  if (matchMedia("(max-width: 1180px)").matches) requestAnimationFrame(() => document.querySelector(".answer")?.scrollIntoView({ block: "nearest" }));
  const control = new AbortController();
  running.set(endpoint.id, control);
  const show = (answer: Answer) => change(endpoint, found, { answer });
  const raw = sheet.editing === "json" ? sheet.raw : undefined;
  const done =
    sheet.socket && endpoint.streams
      ? await answerOfSocket(endpoint, tryDraftIf(raw, endpoint, sheet), control.signal, show)
      : await answerOf(requestOf(endpoint, sheet.draft, raw), control.signal, show);
  running.delete(endpoint.id);
  if (done.status === 401) refused.value = key.value ? "wrong" : "missing";
  remember({ endpoint: endpoint.id, at: Date.now(), draft: tryDraftIf(raw, endpoint, sheet), status: done.status, took: done.took });
}

function tryDraftIf(raw: string | undefined, endpoint: Endpoint, sheet: Sheet): Draft {
  return raw === undefined ? sheet.draft : tryDraft(endpoint, sheet);
}

function AnswerView({ sheet, update }: { sheet: Sheet; update: (changes: Partial<Sheet>) => void }) {
  const { answer } = sheet;
  if (!answer)
    return (
      <section class="answer" aria-label="answer">
        <Empty title="The answer comes here"><p><kbd>Ctrl</kbd> + <kbd>Enter</kbd> sends the request.</p></Empty>
      </section>
    );
  const names: [Showing, string][] = [["answer", "Answer"]];
  if (answer.items && streamText(answer.items) !== null) names.push(["parts", "Parts"]);
  names.push(["json", "JSON"]);
  if (answer.headers.length) names.push(["headers", "Headers"]);
  const showing = names.some(([name]) => name === sheet.showing) ? sheet.showing : "answer";
  return (
    <section class="answer" aria-label="answer" aria-busy={answer.running}>
      <AnswerHead answer={answer} />
      <div class="answer-bar">
        <Tabs id="showing" label="how to read the answer" names={names} chosen={showing} onChoose={(name) => update({ showing: name as Showing })} />
        {!answer.running && <CopyButton text={() => plainText(answer)} />}
      </div>
      <div id="showing-panel" role="tabpanel" aria-labelledby={`showing-${showing}`} tabIndex={0} class="answer-body">
        {showing === "headers" ? (
          <dl class="values">{answer.headers.map(([name, value]) => <div key={name}><dt>{name}</dt><dd class="text">{value}</dd></div>)}</dl>
        ) : showing === "json" ? (
          <pre class="code">{plainText(answer)}</pre>
        ) : showing === "parts" ? (
          <Value value={answer.items} />
        ) : (
          <AnswerBody answer={answer} />
        )}
      </div>
    </section>
  );
}

function plainText(answer: Answer): string {
  if (answer.items) return answer.items.map((one) => toJson(one)).join("\n");
  return answer.hasValue ? toJson(answer.value, 2) : answer.text;
}

function AnswerHead({ answer }: { answer: Answer }) {
  const good = answer.status >= 200 && answer.status < 300 && !answer.problem;
  const parts = [seconds(answer.took)];
  if (answer.items) {
    parts.push(`${count(answer.items.length)} parts`);
    if (answer.first !== null && answer.items.length) parts.push(`first after ${seconds(answer.first)}`);
    if (answer.took > 0.2 && answer.items.length > 2) parts.push(`${count(answer.items.length / answer.took)}/s`);
  } else if (answer.size) parts.push(bytes(answer.size));
  return (
    <p class="answer-head" role="status">
      <strong class={answer.running ? "soon" : good ? "good" : "bad"}>
        {answer.status ? `${answer.status} ${answer.statusText}` : answer.running ? "sent" : "no answer"}
        {answer.stopped ? ", stopped" : answer.running ? "…" : ""}
      </strong>
      <span>{parts.join(" · ")}</span>
      {answer.requestId && (
        <a href={`#/logs/${encodeURIComponent(answer.requestId)}`} title="the log of this request" class="request-id">{answer.requestId}</a>
      )}
    </p>
  );
}

function AnswerBody({ answer }: { answer: Answer }) {
  const stream = answer.items ? streamText(answer.items) : null;
  const end = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const box = end.current?.parentElement;
    if (answer.running && box && box.scrollHeight - box.scrollTop - box.clientHeight < 80) box.scrollTop = box.scrollHeight;
  });
  const { data, parameters } = payloadOf(answer.value);
  const single = Array.isArray(data) && data.length === 0 ? "no documents" : "";
  return (
    <>
      {stream !== null ? <div class={`flowing ${answer.running ? "running" : ""}`}>{stream}</div> : answer.items ? answer.items.length ? <Value value={answer.items} /> : null : null}
      {answer.problem && <ProblemView answer={answer} />}
      {answer.file && <Media media={answer.file} alt="the answer" />}
      {!answer.problem && answer.hasValue && (single ? <p class="nothing">{single}</p> : <Value value={data} />)}
      {isObject(parameters) && Object.keys(parameters).length > 0 && (
        <details class="more" open>
          <summary>parameters</summary>
          <Value value={parameters} />
        </details>
      )}
      {!answer.hasValue && !answer.file && !answer.items && !answer.problem && answer.text && <pre class="text">{answer.text}</pre>}
      <div ref={end} />
    </>
  );
}

function ProblemView({ answer }: { answer: Answer }) {
  const problem = answer.problem;
  if (!problem) return null;
  return (
    <div class="problem" role="alert">
      <p class="problem-title">{problem.title}</p>
      {(problem.code || problem.executor) && (
        <p class="problem-code">{[problem.code, problem.executor && `in ${problem.executor}`].filter(Boolean).join(" ")}</p>
      )}
      {problem.help && <p>{problem.help}</p>}
      {problem.fields.length > 0 && (
        <ul>
          {problem.fields.map((one, index) => (
            <li key={index}><code>{one.path}</code> {one.message}</li>
          ))}
        </ul>
      )}
      {problem.stacks.length > 0 && (
        <details>
          <summary>traceback</summary>
          <pre class="code">{problem.stacks.join("")}</pre>
        </details>
      )}
    </div>
  );
}
