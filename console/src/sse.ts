/** One event of a stream of server-sent events. */
export interface StreamEvent {
  event: string;
  data: string;
}

/** Reads server-sent events out of text that comes in pieces (https://html.spec.whatwg.org/multipage/server-sent-events.html). */
export class EventReader {
  #begun: string[] = [];
  #event = "";
  #data: string[] = [];

  /** The events that are complete with this piece. */
  read(piece: string): StreamEvent[] {
    // A long line comes in many pieces: they are put together once, when its end is there.
    const end = piece.lastIndexOf("\n");
    if (end < 0) {
      this.#begun.push(piece);
      return [];
    }
    const lines = (this.#begun.join("") + piece.slice(0, end)).split("\n");
    this.#begun = end + 1 < piece.length ? [piece.slice(end + 1)] : [];
    return lines.flatMap((line) => this.#take(line.endsWith("\r") ? line.slice(0, -1) : line));
  }

  #take(line: string): StreamEvent[] {
    if (!line) {
      const found = this.#data.length || this.#event ? [{ event: this.#event || "message", data: this.#data.join("\n") }] : [];
      this.#event = "";
      this.#data = [];
      return found;
    }
    if (line.startsWith(":")) return [];
    const colon = line.indexOf(":");
    const name = colon < 0 ? line : line.slice(0, colon);
    let value = colon < 0 ? "" : line.slice(colon + 1);
    if (value.startsWith(" ")) value = value.slice(1);
    if (name === "event") this.#event = value;
    else if (name === "data") this.#data.push(value);
    return [];
  }
}

/** The events of an answer, as they come. */
export async function* eventsOf(body: ReadableStream<Uint8Array>): AsyncGenerator<StreamEvent> {
  const events = new EventReader();
  for await (const piece of textOf(body)) yield* events.read(piece);
}

/** The lines of an answer, as they come; empty ones are signs of life and left out. */
export async function* linesOf(body: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  let rest = "";
  for await (const piece of textOf(body)) {
    const lines = (rest + piece).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) if (line.trim()) yield line;
  }
  if (rest.trim()) yield rest;
}

async function* textOf(body: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  try {
    for (let part = await reader.read(); !part.done; part = await reader.read())
      yield decoder.decode(part.value, { stream: true });
    yield decoder.decode();
  } finally {
    // Not waited for: of a request that was given up, the browser never says that it is done.
    reader.cancel().catch(() => undefined);
  }
}
