/** The frame around the views. */
import { signal } from "@preact/signals";
import { useEffect, useState } from "preact/hooks";
import { choose, chosen, connection, follow, info, state, trouble } from "./feed.ts";
import { Logs } from "./logs.tsx";
import { Overview } from "./overview.tsx";
import { Performance } from "./performance.tsx";
import { Playground } from "./playground.tsx";
import { VIEWS, place } from "./route.ts";
import { refusal, refused, useKey } from "./server.ts";
import { StateView } from "./groups.tsx";
import { Dialog, Empty, Icon, Pill } from "./ui.tsx";

const TITLES: Record<string, string> = {
  overview: "Overview",
  playground: "Playground",
  performance: "Performance",
  state: "State",
  logs: "Logs",
};

const THEMES = ["system", "light", "dark"] as const;
type Theme = (typeof THEMES)[number];
const theme = signal<Theme>(storedTheme());

function storedTheme(): Theme {
  try {
    const found = localStorage.getItem("jina.console.theme");
    return THEMES.find((one) => one === found) ?? "system";
  } catch {
    return "system";
  }
}

function applyTheme(): void {
  if (theme.value === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme.value;
  try {
    localStorage.setItem("jina.console.theme", theme.value);
  } catch {
    // Then the choice lives as long as the page.
  }
}

export function App() {
  useEffect(() => {
    applyTheme();
    void follow();
  }, []);
  const { view } = place.value;
  const name = state.value?.service.name ?? info.value?.services.find((one) => one.id === chosen.value)?.name ?? "";
  useEffect(() => {
    document.title = `${TITLES[view]}${name ? ` · ${name}` : ""}`;
  }, [view, name]);
  return (
    <div class="shell">
      <a class="skip" href="#main" onClick={skip}>to the content</a>
      <Side />
      <header class="top">
        <ServiceName name={name} />
        <Link />
      </header>
      <main id="main" tabIndex={-1}>
        <h1 class={view === "playground" ? "offscreen" : ""}>{TITLES[view]}</h1>
        <View view={view} />
      </main>
      {refused.value && <KeyDialog />}
    </div>
  );
}

function skip(event: Event): void {
  event.preventDefault();
  document.getElementById("main")?.focus();
}

function View({ view }: { view: string }) {
  const told = info.value;
  if (told?.mode === "user" && !told.services.length)
    return <Empty title="Nothing runs here"><p>Services of yours on this machine appear here as soon as they start.</p></Empty>;
  if (!state.value && connection.value === "lost" && view !== "playground")
    return <Empty title="No live state"><p>{trouble.value || "The server does not answer."}</p></Empty>;
  switch (view) {
    case "playground":
      return <Playground />;
    case "performance":
      return <Performance />;
    case "state":
      return <StateView />;
    case "logs":
      return <Logs />;
    default:
      return <Overview />;
  }
}

function Side() {
  const groups = Object.values(state.value?.groups ?? {});
  const ill = groups.some((one) => !one.healthy);
  return (
    <nav class="side" aria-label="views">
      <p class="brand">
        <svg viewBox="0 0 24 24" aria-hidden="true"><circle cx="6" cy="12" r="3" /><circle cx="18" cy="6" r="3" /><circle cx="18" cy="18" r="3" /><path d="M8.700 10.700l6.600-3.300M8.700 13.300l6.600 3.300" /></svg>
        <span>Console</span>
      </p>
      <ul>
        {VIEWS.map((view) => (
          <li key={view}>
            <a href={`#/${view}`} aria-current={place.value.view === view ? "page" : undefined}>
              <Icon name={view} />
              <span>{TITLES[view]}</span>
              {view === "state" && ill && <span class="dot bad" role="img" aria-label="a group needs attention" />}
            </a>
          </li>
        ))}
      </ul>
      <ThemeButton />
    </nav>
  );
}

function ThemeButton() {
  const now = theme.value;
  const next = THEMES[(THEMES.indexOf(now) + 1) % THEMES.length] ?? "system";
  return (
    <button
      type="button"
      class="theme quiet"
      title={`colours: ${now}`}
      aria-label={`colours: ${now}; change to ${next}`}
      onClick={() => {
        theme.value = next;
        applyTheme();
      }}
    >
      <Icon name={now === "light" ? "sun" : now === "dark" ? "moon" : "system"} />
    </button>
  );
}

function ServiceName({ name }: { name: string }) {
  const told = info.value;
  const now = state.value?.service.state ?? "";
  return (
    <div class="service">
      {told?.mode === "user" && told.services.length > 0 ? (
        <select aria-label="service" value={chosen.value} onChange={(event) => choose(event.currentTarget.value)}>
          {told.services.map((one) => (
            <option key={one.id} value={one.id}>{`${one.name} (${one.id})`}</option>
          ))}
        </select>
      ) : (
        <strong class="service-name">{name || "…"}</strong>
      )}
      {now && <Pill state={now} />}
    </div>
  );
}

function Link() {
  const now = connection.value;
  const words = { connecting: "connecting", live: "live", lost: "no connection", ended: "ended" }[now];
  return (
    <p class="link" role="status" title={trouble.value}>
      <Pill state={now} text={now === "lost" && trouble.value ? `${words}: ${trouble.value}` : words} />
    </p>
  );
}

function KeyDialog() {
  const [typed, setTyped] = useState("");
  const why = refused.value;
  const submit = (event: Event) => {
    event.preventDefault();
    if (!typed.trim()) return;
    useKey(typed.trim());
    void follow();
  };
  return (
    <Dialog title="This service needs a key">
      <form onSubmit={submit}>
        <p>
          {why === "missing"
            ? "Its owner gave keys to those who may look. Yours stays in this tab and is sent to this service only."
            : why === "wrong"
              ? "The service does not know that key."
              : refusal.value || "That key may not open the console."}
        </p>
        <label class="field-label" for="key">API key</label>
        <input id="key" type="password" autoComplete="off" value={typed} onInput={(event) => setTyped(event.currentTarget.value)} aria-invalid={why !== "missing"} />
        <div class="dialog-foot">
          <button type="submit" class="primary" disabled={!typed.trim()}>
            <Icon name="key" />
            Open
          </button>
        </div>
      </form>
    </Dialog>
  );
}

