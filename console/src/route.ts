/** Where in the page somebody is: `#/logs/abc` is the view `logs` with `abc`. */
import { signal } from "@preact/signals";

export interface Place {
  view: string;
  rest: string;
}

export const VIEWS = ["overview", "playground", "performance", "state", "logs"] as const;

function read(): Place {
  const [, view = "", ...rest] = location.hash.split("/");
  let text = rest.join("/");
  try {
    text = decodeURIComponent(text);
  } catch {
    // An address that somebody typed.
  }
  return (VIEWS as readonly string[]).includes(view) ? { view, rest: text } : { view: "overview", rest: "" };
}

export const place = signal<Place>(read());

export function go(view: string, rest = ""): void {
  location.hash = rest ? `#/${view}/${encodeURIComponent(rest)}` : `#/${view}`;
}

addEventListener("hashchange", () => {
  place.value = read();
});
