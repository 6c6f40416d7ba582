/** Values of answers: text as text, never as markup. */
import { useEffect, useRef, useState } from "preact/hooks";
import { count } from "./format.ts";
import { toJson } from "./json.ts";
import { Media } from "./media.tsx";
import { flat } from "./npy.ts";
import { isNothing, pictureIn, shownAs, summaryOf } from "./values.ts";

const ROWS = 100;
const LONG = 4000;

export function Value({ value, name = "", depth = 0 }: { value: unknown; name?: string; depth?: number }) {
  const shown = shownAs(value);
  switch (shown.kind) {
    case "nothing":
      return <span class="nothing">{value === "" ? "empty text" : Array.isArray(value) ? "empty list" : "nothing"}</span>;
    case "media":
      return <Media media={shown.media} alt={name || "a file of the answer"} />;
    case "tensor":
      return <Tensor shape={shown.shape} value={shown.value} name={name} />;
    case "table":
      return depth > 5 ? <code>{toJson(value)}</code> : <Table rows={shown.rows} columns={shown.columns} name={name} depth={depth} />;
    case "list":
      return <List items={shown.items} depth={depth} />;
    case "object":
      return depth > 5 ? <code>{toJson(value)}</code> : <Fields fields={shown.fields} depth={depth} />;
    case "text":
      return <LongText text={shown.text} />;
    case "scalar":
      return <span class="scalar">{shown.text}</span>;
  }
}

function LongText({ text }: { text: string }) {
  const [all, setAll] = useState(false);
  if (!text) return <span class="nothing">empty text</span>;
  if (text.length <= LONG || all) return <span class="text">{text}</span>;
  return (
    <span class="text">
      {text.slice(0, LONG)}…{" "}
      <button type="button" class="quiet small" onClick={() => setAll(true)}>show all {count(text.length)} letters</button>
    </span>
  );
}

function List({ items, depth }: { items: unknown[]; depth: number }) {
  return (
    <ol class="values">
      {items.slice(0, ROWS).map((one, index) => (
        <li key={index}><Value value={one} depth={depth + 1} /></li>
      ))}
      {items.length > ROWS && <li class="nothing">and {items.length - ROWS} more, see JSON</li>}
    </ol>
  );
}

function Fields({ fields, depth }: { fields: [string, unknown][]; depth: number }) {
  return (
    <dl class="values">
      {fields.map(([name, one]) => (
        <div key={name} class={name === "id" ? "identity" : ""}>
          <dt>{name}</dt>
          <dd><Value value={one} name={name} depth={depth + 1} /></dd>
        </div>
      ))}
    </dl>
  );
}

function Table({ rows, columns, name, depth }: { rows: Record<string, unknown>[]; columns: string[]; name: string; depth: number }) {
  const [shown, setShown] = useState(ROWS);
  // One document, or ones with much in them, read better one below the other.
  const wide = columns.some((column) => rows.some((row) => isWide(row[column])));
  if (rows.length === 1 || wide || columns.length > 8)
    return (
      <div class="cards">
        {rows.slice(0, shown).map((row, index) => (
          <section key={index} class="card" aria-label={`${name || "document"} ${index + 1}`}>
            <Fields fields={columns.filter((column) => !isNothing(row[column])).map((column) => [column, row[column]])} depth={depth} />
          </section>
        ))}
        <More all={rows.length} shown={shown} onMore={() => setShown(shown + ROWS)} />
      </div>
    );
  return (
    <div class="scroll records" tabIndex={0} role="region" aria-label={name || "documents"}>
      <table>
        <thead>
          <tr>{columns.map((column) => <th key={column} scope="col">{column}</th>)}</tr>
        </thead>
        <tbody>
          {rows.slice(0, shown).map((row, index) => (
            <tr key={index}>
              {columns.map((column) => (
                <td key={column} class={typeof row[column] === "number" ? "number" : column === "id" ? "identity" : ""}>
                  {isNothing(row[column]) ? <span class="nothing">–</span> : <Value value={row[column]} name={column} depth={depth + 1} />}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
      <More all={rows.length} shown={shown} onMore={() => setShown(shown + ROWS)} />
    </div>
  );
}

function More({ all, shown, onMore }: { all: number; shown: number; onMore: () => void }) {
  if (all <= shown) return null;
  return <button type="button" class="quiet small" onClick={onMore}>show more: {all - shown} are left</button>;
}

function isWide(value: unknown): boolean {
  const shown = shownAs(value);
  return shown.kind === "table" || shown.kind === "object" || (shown.kind === "media" && shown.media.type.startsWith("audio")) || (shown.kind === "tensor" && pictureIn(shown.shape) !== null);
}

function Tensor({ shape, value, name }: { shape: number[]; value: unknown; name: string }) {
  const picture = pictureIn(shape);
  const { least, most, mean } = summaryOf(value);
  const numbers = flat(value);
  return (
    <div class="tensor">
      {picture ? <Picture numbers={numbers} {...picture} least={least} most={most} name={name} /> : <Bars numbers={numbers} least={least} most={most} />}
      <span class="tensor-told">[{shape.join(", ")}] from {count(least)} to {count(most)}, mean {count(mean)}</span>
      <details>
        <summary>numbers</summary>
        <code>{numbers.slice(0, 200).map((one) => +one.toPrecision(6)).join(", ")}{numbers.length > 200 ? ", …" : ""}</code>
      </details>
    </div>
  );
}

function Bars({ numbers, least, most }: { numbers: number[]; least: number; most: number }) {
  const many = Math.min(96, numbers.length);
  const low = Math.min(0, least);
  const span = Math.max(0, most) - low || 1;
  const zero = 28 - ((0 - low) / span) * 28;
  const path = Array.from({ length: many }, (_, index) => {
    const one = numbers[Math.floor((index * numbers.length) / many)] ?? 0;
    const y = 28 - ((one - low) / span) * 28;
    return `M${index * 2 + 0.5} ${zero.toFixed(1)}V${y.toFixed(1)}`;
  }).join("");
  return (
    <svg class="bars" width={many * 2} height="28" viewBox={`0 0 ${many * 2} 28`} aria-hidden="true">
      <path d={path} />
    </svg>
  );
}

interface PictureProps {
  numbers: number[];
  height: number;
  width: number;
  channels: number;
  first: boolean;
  least: number;
  most: number;
  name: string;
}

function Picture({ numbers, height, width, channels, first, least, most, name }: PictureProps) {
  const canvas = useRef<HTMLCanvasElement>(null);
  useEffect(() => {
    const context = canvas.current?.getContext("2d");
    if (!context) return;
    const bytes = least >= 0 && most <= 255 && most > 1;
    const scale = bytes ? 1 : 255 / (most - least || 1);
    const low = bytes ? 0 : least;
    const image = context.createImageData(width, height);
    const at = (pixel: number, channel: number) => numbers[first ? channel * width * height + pixel : pixel * channels + channel] ?? 0;
    for (let pixel = 0; pixel < width * height; pixel++) {
      for (let channel = 0; channel < 3; channel++) image.data[pixel * 4 + channel] = (at(pixel, channels < 3 ? 0 : channel) - low) * scale;
      image.data[pixel * 4 + 3] = channels === 4 ? (at(pixel, 3) - low) * scale : 255;
    }
    context.putImageData(image, 0, 0);
  });
  return <canvas ref={canvas} class="picture" width={width} height={height} role="img" aria-label={`${name || "array"} as a picture`} />;
}
