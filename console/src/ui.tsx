/** Small parts that all views use. */
import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";

const PATHS: Record<string, string> = {
  overview: "M5 6.5h4v4H5zM15 4.5h4v4h-4zM15 15.5h4v4h-4zM9 8.5h3.5v-2H15M12.5 8.5v9H15",
  playground: "M8 5.5v13l10.5-6.5z",
  performance: "M4 18.5l5-6 4 3 7-9M4 5v14h16",
  state: "M12 3.5c4.4 0 7.5 1.2 7.5 2.8S16.4 9 12 9 4.500 7.900 4.500 6.300 7.600 3.500 12 3.500zM4.500 6.300v11.400c0 1.600 3.100 2.800 7.500 2.800s7.500-1.200 7.500-2.800V6.300M4.500 12c0 1.600 3.100 2.800 7.500 2.800s7.500-1.200 7.500-2.800",
  logs: "M5 6h14M5 10h10M5 14h14M5 18h7",
  sun: "M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8zM12 2.500v2M12 19.500v2M2.500 12h2M19.500 12h2M5.300 5.300l1.400 1.400M17.300 17.300l1.400 1.400M18.700 5.300l-1.400 1.400M6.700 17.300l-1.400 1.400",
  moon: "M20 14.500A8.500 8.500 0 0 1 9.500 4a8.500 8.500 0 1 0 10.500 10.500z",
  system: "M4 5.500h16v10.500H4zM9 20h6M12 16v4",
  copy: "M9 9h10v11H9zM5 15V4h10",
  close: "M6 6l12 12M18 6L6 18",
  plus: "M12 5v14M5 12h14",
  file: "M7 3.500h7l4 4v13H7zM14 3.500v4h4",
  check: "M5 12.500l4.500 4.500L19 7",
  down: "M6 9l6 6 6-6",
  stop: "M7 7h10v10H7z",
  key: "M14.500 3.500a6 6 0 1 0 0 12 6 6 0 0 0 0-12zM10 13.500L4 19.500v1.500h3v-2h2v-2",
};

export function Icon({ name, label }: { name: string; label?: string }) {
  return (
    <svg class="icon" viewBox="0 0 24 24" role={label ? "img" : undefined} aria-label={label} aria-hidden={label ? undefined : "true"}>
      <path d={PATHS[name] ?? ""} />
    </svg>
  );
}

const GOOD = new Set(["ready", "live", "ok"]);
const SOON = new Set(["starting", "restarting", "draining", "degraded", "connecting"]);

/** How well something is: good, soon, bad or idle, as a class and a shape. */
export function health(state: string): "good" | "soon" | "bad" | "idle" {
  if (GOOD.has(state)) return "good";
  if (SOON.has(state)) return "soon";
  return state === "stopped" || !state ? "idle" : "bad";
}

export function Pill({ state, text }: { state: string; text?: string }) {
  return (
    <span class={`pill ${health(state)}`}>
      <i aria-hidden="true" />
      {text ?? state}
    </span>
  );
}

export function Empty({ title, children }: { title: string; children?: ComponentChildren }) {
  return (
    <div class="empty">
      <p class="empty-title">{title}</p>
      {children && <div class="empty-text">{children}</div>}
    </div>
  );
}

export function CopyButton({ text, label = "Copy" }: { text: () => string; label?: string }) {
  const [done, setDone] = useState("");
  const timer = useRef(0);
  useEffect(() => () => clearTimeout(timer.current), []);
  const copy = async () => {
    setDone((await toClipboard(text())) ? "Copied" : "Copying failed");
    clearTimeout(timer.current);
    timer.current = window.setTimeout(() => setDone(""), 1600);
  };
  return (
    <button type="button" class="quiet" onClick={() => void copy()}>
      <Icon name={done === "Copied" ? "check" : "copy"} />
      <span aria-live="polite">{done || label}</span>
    </button>
  );
}

/** Browsers offer the clipboard only to pages of secure origins; elsewhere the old way works. */
async function toClipboard(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = document.createElement("textarea");
    area.value = text;
    area.setAttribute("aria-hidden", "true");
    area.className = "offscreen";
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done;
  }
}

/** Tabs as https://www.w3.org/WAI/ARIA/apg/patterns/tabs/ describes them. */
export function Tabs({
  names,
  chosen,
  onChoose,
  label,
  id,
}: {
  names: [string, string][];
  chosen: string;
  onChoose: (name: string) => void;
  label: string;
  id: string;
}) {
  const move = (event: KeyboardEvent & { currentTarget: HTMLElement }) => {
    const at = names.findIndex(([name]) => name === chosen);
    const step = event.key === "ArrowRight" ? 1 : event.key === "ArrowLeft" ? -1 : 0;
    if (!step) return;
    event.preventDefault();
    const next = names[(at + step + names.length) % names.length];
    if (!next) return;
    onChoose(next[0]);
    (event.currentTarget.querySelector(`[data-tab="${next[0]}"]`) as HTMLElement | null)?.focus();
  };
  return (
    <div class="tabs" role="tablist" aria-label={label} onKeyDown={move}>
      {names.map(([name, title]) => (
        <button
          key={name}
          type="button"
          role="tab"
          id={`${id}-${name}`}
          data-tab={name}
          aria-selected={name === chosen}
          aria-controls={`${id}-panel`}
          tabIndex={name === chosen ? 0 : -1}
          onClick={() => onChoose(name)}
        >
          {title}
        </button>
      ))}
    </div>
  );
}

/** A modal window of the browser's own kind: it keeps the focus, and Escape closes it. */
export function Dialog({ title, children, onClose }: { title: string; children: ComponentChildren; onClose?: () => void }) {
  const element = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    const dialog = element.current;
    dialog?.showModal();
    return () => dialog?.close();
  }, []);
  const cancel = (event: Event) => {
    event.preventDefault();
    onClose?.();
  };
  // Browsers close it at the second Escape whatever is said to that.
  const closed = () => {
    if (onClose) onClose();
    else element.current?.showModal();
  };
  return (
    <dialog ref={element} aria-labelledby="dialog-title" onCancel={cancel} onClose={closed}>
      <h2 id="dialog-title">{title}</h2>
      {children}
    </dialog>
  );
}

export function Stat({ label, value, hint, tone }: { label: string; value: string; hint?: string; tone?: string }) {
  return (
    <div class={`stat ${tone ?? ""}`}>
      <dt>{label}</dt>
      <dd>{value}</dd>
      {hint && <dd class="hint">{hint}</dd>}
    </div>
  );
}

/** The width of an element, as it changes. */
export function useWidth<T extends HTMLElement>(): [{ current: T | null }, number] {
  const element = useRef<T>(null);
  const [width, setWidth] = useState(0);
  useEffect(() => {
    const box = element.current;
    if (!box) return undefined;
    setWidth(box.clientWidth);
    const watcher = new ResizeObserver(() => setWidth(box.clientWidth));
    watcher.observe(box);
    return () => watcher.disconnect();
  }, []);
  return [element, width];
}
