/** A form for any schema: it edits a JSON value. */
import { useEffect, useId, useRef, useState } from "preact/hooks";
import { bytes } from "./format.ts";
import { Media } from "./media.tsx";
import { dataUrl, mediaOf } from "./media.ts";
import { isObject } from "./merge.ts";
import { flat, nested, readNpy, readNumbers, shapeIn } from "./npy.ts";
import { type Field, type Schema, fieldOf, initial, isIdentity, isRare } from "./schema.ts";
import { Icon } from "./ui.tsx";

type Path = (string | number)[];

interface Common {
  schema: unknown;
  root: Schema;
  value: unknown;
  path: Path;
  onChange: (value: unknown) => void;
  /** What the server said of a value, by path such as `body.data.0.text`. */
  errors: Map<string, string>;
}

interface Props extends Common {
  name: string;
  required?: boolean;
  /** Instead of a remove button at the name. */
  onRemove?: () => void;
}

type Inner = Common & { field: Field; id: string; described: string | undefined; required: boolean; label: string };

/** One field with its name, what it is for, and what is wrong with it. */
export function FieldBox(props: Props) {
  const { schema, root, value, path, errors, name, required = false, onRemove } = props;
  const id = useId();
  const field = fieldOf(schema, root, name);
  const about = field.kind === "file" && /^(bytes|a file): a /.test(field.description) ? "" : shorter(field.description);
  const error = errors.get(path.join("."));
  const nests = field.kind === "object" || field.kind === "list" || field.kind === "map" || field.kind === "union";
  const described = [`${id}-kind`, about && `${id}-about`, error && `${id}-error`].filter(Boolean).join(" ") || undefined;
  const inner: Inner = { ...props, field, id, described, required, label: name };
  const control = <Control {...inner} />;
  const absent = nests && field.kind !== "union" && (value === undefined || value === null);
  return (
    <div class={`field ${field.kind} ${nests ? "nests" : ""} ${error ? "wrong" : ""}`} role={nests ? "group" : undefined} aria-labelledby={nests ? `${id}-name` : undefined}>
      <div class="field-head">
        <span class="field-label">
          {nests || field.kind === "flag" ? (
            <span id={`${id}-name`} class="field-name">{name}</span>
          ) : (
            <label for={id} id={`${id}-name`} class="field-name">{name}</label>
          )}
          {required && <span class="field-required">required</span>}
          <span class="field-kind" id={`${id}-kind`}>{kindOf(field)}</span>
        </span>
        {onRemove && (
          <button type="button" class="quiet small" aria-label={`remove ${name}`} onClick={onRemove}>
            <Icon name="close" />
          </button>
        )}
        {!onRemove && !required && nests && !absent && field.kind !== "list" && field.kind !== "map" && (
          <button type="button" class="quiet small" onClick={() => props.onChange(undefined)}>leave out</button>
        )}
      </div>
      {about && (
        <p class="field-about" id={`${id}-about`}>{about}</p>
      )}
      {absent && field.kind === "object" ? (
        <button type="button" class="quiet small add" onClick={() => props.onChange(initial(schema, root) ?? {})}>
          <Icon name="plus" />
          add {name}
        </button>
      ) : (
        control
      )}
      {error && (
        <p class="field-error" id={`${id}-error`}>{error}</p>
      )}
    </div>
  );
}

function shorter(text: string): string {
  const first = text.split("\n\n")[0] ?? "";
  return first.length > 240 ? `${first.slice(0, 239)}…` : first;
}

function kindOf(field: Field): string {
  const or = field.nullable ? " or null" : "";
  switch (field.kind) {
    case "number":
      return (field.whole ? "integer" : "number") + or;
    case "text":
      return `text${or}`;
    case "flag":
      return `true or false${or}`;
    case "choice":
      return `choice${or}`;
    case "file":
      return (field.bytes ? "bytes" : (field.accepts?.length ? field.accepts.join(", ") : "file")) + or;
    case "tensor":
      return (field.shape?.length ? `array [${field.shape.map((one) => one ?? "any").join(", ")}]` : "array") + or;
    case "list":
      return "list";
    case "map":
      return "by name";
    case "object":
      return String(field.schema.title ?? "object");
    default:
      return field.kind === "json" ? "JSON" : "";
  }
}

function Control(props: Inner) {
  switch (props.field.kind) {
    case "object":
      return <ObjectFields {...props} />;
    case "list":
      return <ListField {...props} />;
    case "map":
      return <MapField {...props} />;
    case "union":
      return <UnionField {...props} />;
    case "text":
      return <TextField {...props} />;
    case "number":
      return <NumberField {...props} />;
    case "flag":
      return <FlagField {...props} />;
    case "choice":
      return <ChoiceField {...props} />;
    case "file":
      return <FileField {...props} />;
    case "tensor":
      return <TensorField {...props} />;
    case "nothing":
      return <code>null</code>;
    default:
      return <JsonField {...props} />;
  }
}

/** The fields of an object, those that few need behind a fold. */
export function ObjectFields({ schema, root, value, path, onChange, errors }: Common) {
  const field = fieldOf(schema, root);
  const own = isObject(value) ? value : {};
  const all = (field.properties ?? []).map((one) => ({ ...one, field: fieldOf(one.schema, root, one.name) }));
  const given = (name: string) => own[name] !== undefined && own[name] !== null;
  // The ids of parts of a document are nobody's business.
  const hidden = (name: string, one: Field) => path.length > 3 && isIdentity(name, one) && !given(name);
  const rare = all.filter((one) => isRare(one.name, one.field, one.required) && !given(one.name));
  const shown = all.length - rare.length ? all.filter((one) => !rare.includes(one)) : all;
  const box = (one: (typeof all)[number]) => (
    <FieldBox
      key={one.name}
      name={one.name}
      schema={one.schema}
      root={root}
      required={one.required}
      value={own[one.name]}
      path={[...path, one.name]}
      errors={errors}
      onChange={(next) => onChange({ ...own, [one.name]: next })}
    />
  );
  const folded = shown.length < all.length ? rare.filter((one) => !hidden(one.name, one.field)) : [];
  return (
    <div class="fields">
      {shown.map(box)}
      {folded.length > 0 && (
        <details class="more">
          <summary>{folded.length === 1 ? "1 more field" : `${folded.length} more fields`}: {folded.map((one) => one.name).join(", ")}</summary>
          <div class="fields">{folded.map(box)}</div>
        </details>
      )}
    </div>
  );
}

function ListField({ field, root, value, path, onChange, errors, label }: Inner) {
  const items = Array.isArray(value) ? value : [];
  const replace = (index: number, next: unknown) => onChange(items.map((one, at) => (at === index ? next : one)));
  return (
    <div class="items">
      {items.map((one, index) => (
        <FieldBox
          key={index}
          name={`${label} ${index + 1}`}
          schema={field.item}
          root={root}
          required
          value={one}
          path={[...path, index]}
          errors={errors}
          onChange={(next) => replace(index, next)}
          onRemove={() => onChange(items.filter((_, at) => at !== index))}
        />
      ))}
      <button type="button" class="quiet small add" onClick={() => onChange([...items, initial(field.item, root) ?? null])}>
        <Icon name="plus" />
        add to {label}
      </button>
    </div>
  );
}

function MapField({ field, root, value, path, onChange, errors, label, id }: Inner) {
  const own = isObject(value) ? value : {};
  const [name, setName] = useState("");
  const add = () => {
    if (!name || name in own) return;
    onChange({ ...own, [name]: initial(field.item, root) });
    setName("");
  };
  return (
    <div class="items">
      {Object.entries(own).map(([key, one]) => (
        <FieldBox
          key={key}
          name={key}
          schema={field.item}
          root={root}
          value={one}
          path={[...path, key]}
          errors={errors}
          onChange={(next) => onChange({ ...own, [key]: next })}
          onRemove={() => onChange(Object.fromEntries(Object.entries(own).filter(([other]) => other !== key)))}
        />
      ))}
      <div class="row">
        <input
          id={id}
          class="short"
          placeholder="name"
          aria-label={`name for a new value of ${label}`}
          value={name}
          onInput={(event) => setName(event.currentTarget.value)}
          onKeyDown={(event) => {
            if (event.key === "Enter") {
              event.preventDefault();
              add();
            }
          }}
        />
        <button type="button" class="quiet small add" disabled={!name || name in own} onClick={add}>
          <Icon name="plus" />
          add
        </button>
      </div>
    </div>
  );
}

function UnionField(props: Inner) {
  const { field, root, value, path, onChange, errors, label, id } = props;
  const branches = field.branches ?? [];
  const [at, setAt] = useState(() => (value === undefined || value === null ? -1 : best(branches, root, value)));
  const choose = (next: number) => {
    setAt(next);
    onChange(next < 0 ? undefined : initial(branches[next], root));
  };
  const branch = branches[at];
  return (
    <div class="union">
      <select id={id} aria-label={`kind of ${label}`} value={String(at)} onChange={(event) => choose(Number(event.currentTarget.value))}>
        {(!props.required || at < 0) && <option value="-1">not given</option>}
        {branches.map((one, index) => {
          const inner = fieldOf(one, root);
          return <option key={index} value={String(index)}>{inner.title || kindOf(inner)}</option>;
        })}
      </select>
      {branch && (
        <FieldBox key={at} name={label} schema={branch} root={root} required value={value} path={path} errors={errors} onChange={onChange} />
      )}
    </div>
  );
}

function best(branches: Schema[], root: Schema, value: unknown): number {
  const fits = branches.findIndex((one) => {
    const { kind } = fieldOf(one, root);
    if (Array.isArray(value)) return kind === "list" || kind === "tensor";
    if (isObject(value)) return kind === "object" || kind === "map" || kind === "json";
    return typeof value === "number" ? kind === "number" : typeof value === "boolean" ? kind === "flag" : kind === "text" || kind === "choice";
  });
  return Math.max(0, fits);
}

function presetText(field: Field): string {
  if (field.preset !== undefined && field.preset !== null && field.preset !== "") return `${typeof field.preset === "string" ? field.preset : JSON.stringify(field.preset)} unless given`;
  return typeof field.example === "string" || typeof field.example === "number" ? `such as ${field.example}` : "";
}

function TextField({ field, id, value, onChange, described, required, errors, path }: Inner) {
  const shown = typeof value === "string" ? value : "";
  const area = useRef<HTMLTextAreaElement>(null);
  useEffect(() => grow(area.current), [shown]);
  const change = (text: string) => onChange(text || required ? text : undefined);
  return (
    <textarea
      id={id}
      ref={area}
      rows={1}
      value={shown}
      placeholder={presetText(field)}
      aria-describedby={described}
      aria-required={required}
      aria-invalid={errors.has(path.join("."))}
      spellcheck={false}
      onInput={(event) => change(event.currentTarget.value)}
    />
  );
}

function grow(area: HTMLTextAreaElement | null): void {
  if (!area) return;
  area.style.height = "auto";
  area.style.height = `${Math.min(320, area.scrollHeight + 2)}px`;
}

function NumberField({ field, id, value, onChange, described, required, errors, path }: Inner) {
  const [typed, setTyped] = useState<string | null>(null);
  const change = (text: string) => {
    setTyped(text);
    // A whole number too large for a float goes as it was typed: see exactJson.
    if (!text.trim()) onChange(undefined);
    else if (!Number.isNaN(Number(text))) onChange(field.whole && !Number.isSafeInteger(Number(text)) ? bigNumber(text) : Number(text));
    else onChange(text);
  };
  const shown = typed ?? (value === undefined || value === null ? "" : String(value));
  return (
    <input
      id={id}
      class="short"
      inputMode={field.whole ? "numeric" : "decimal"}
      value={shown}
      placeholder={presetText(field)}
      aria-describedby={described}
      aria-required={required}
      aria-invalid={errors.has(path.join("."))}
      onInput={(event) => change(event.currentTarget.value)}
      onBlur={() => setTyped(null)}
    />
  );
}

function bigNumber(text: string): unknown {
  return /^-?\d+$/.test(text.trim()) ? BigInt(text.trim()) : Number(text);
}

function FlagField({ id, value, onChange, described, label }: Inner) {
  return (
    <label class="switch" for={id}>
      <input id={id} type="checkbox" role="switch" checked={value === true} aria-label={label} aria-describedby={described} onChange={(event) => onChange(event.currentTarget.checked)} />
      <span aria-hidden="true">{value === true ? "true" : "false"}</span>
    </label>
  );
}

function ChoiceField({ field, id, value, onChange, described, required }: Inner) {
  const options = field.options ?? [];
  const at = options.findIndex((one) => one === value);
  return (
    <select id={id} class="short" value={String(at)} aria-describedby={described} onChange={(event) => onChange(options[Number(event.currentTarget.value)])}>
      {(!required || at < 0) && <option value="-1">{presetText(field) || "not given"}</option>}
      {options.map((one, index) => (
        <option key={index} value={String(index)}>{String(one)}</option>
      ))}
    </select>
  );
}

/** Bytes of a file: as base64 inside JSON they are a third more, and a server takes 64 MiB unless told otherwise. */
const LARGEST = 48 * 1000 * 1000;

function FileField({ field, id, value, onChange, described, label }: Inner) {
  const [name, setName] = useState("");
  const [over, setOver] = useState(false);
  const [trouble, setTrouble] = useState("");
  const url = typeof value === "string" && value.startsWith("data:") ? value : "";
  const take = async (file: File | undefined | null) => {
    if (!file) return;
    if (file.size > LARGEST) {
      setTrouble(`${file.name} has ${bytes(file.size)}: the form takes ${bytes(LARGEST)}; larger ones go as multipart/form-data, for example by curl -F`);
      return;
    }
    setTrouble("");
    setName(`${file.name || "pasted"} · ${bytes(file.size)}`);
    onChange(await dataUrl(file));
  };
  const drop = (event: DragEvent) => {
    event.preventDefault();
    setOver(false);
    void take(event.dataTransfer?.files[0]);
  };
  const found = url ? mediaOf(url) : null;
  return (
    <div
      class={`drop ${over ? "over" : ""}`}
      onDragOver={(event) => {
        event.preventDefault();
        setOver(true);
      }}
      onDragLeave={() => setOver(false)}
      onDrop={drop}
      onPaste={(event) => void take(event.clipboardData?.files[0])}
    >
      {found && <Media media={found} alt={`what ${label} holds`} />}
      <div class="row">
        <input id={id} class="file" type="file" accept={field.accepts?.join(",") || undefined} aria-describedby={described} onChange={(event) => void take(event.currentTarget.files?.[0])} />
        <span class="drop-text">{url ? name || "a file" : "or drop it here"}</span>
        {url && (
          <button type="button" class="quiet small" onClick={() => { setName(""); onChange(undefined); }}>
            remove
          </button>
        )}
      </div>
      {field.bytes && !url && (
        <textarea rows={1} class="beside" placeholder="or text, sent as UTF-8" aria-label={`${label} as text`} value={typeof value === "string" ? value : ""} onInput={(event) => onChange(event.currentTarget.value || undefined)} />
      )}
      {trouble && <p class="field-error" role="alert">{trouble}</p>}
    </div>
  );
}

function TensorField({ field, id, value, onChange, described, label }: Inner) {
  const [typed, setTyped] = useState<string | null>(null);
  const [trouble, setTrouble] = useState("");
  const [over, setOver] = useState(false);
  const shape = shapeIn(value);
  const large = shape !== null && shape.reduce((left, right) => left * right, 1) > 4000;
  const read = (text: string) => {
    setTyped(text);
    try {
      setTrouble("");
      onChange(readNumbers(text) ?? undefined);
    } catch (error) {
      setTrouble(error instanceof Error ? error.message : String(error));
    }
  };
  const take = async (file: File | undefined | null) => {
    if (!file) return;
    try {
      setTrouble("");
      setTyped(null);
      onChange(nested(readNpy(await file.arrayBuffer())));
    } catch (error) {
      setTrouble(`${file.name}: ${error instanceof Error ? error.message : String(error)}`);
    }
  };
  const wanted = field.shape ?? [];
  const misfit = shape && wanted.length > 0 && (wanted.length !== shape.length || wanted.some((one, axis) => one !== null && one !== shape[axis]));
  return (
    <div
      class={`drop ${over ? "over" : ""}`}
      onDragOver={(event) => {
        event.preventDefault();
        setOver(true);
      }}
      onDragLeave={() => setOver(false)}
      onDrop={(event) => {
        event.preventDefault();
        setOver(false);
        void take(event.dataTransfer?.files[0]);
      }}
    >
      {large ? (
        <p class="tensor-told">{summary(value)}</p>
      ) : (
        <textarea id={id} rows={1} placeholder="1, 0, 0.5 or [[1, 2], [3, 4]]" aria-describedby={described} spellcheck={false} value={typed ?? (shape ? JSON.stringify(value) : "")} onInput={(event) => read(event.currentTarget.value)} onBlur={() => !trouble && setTyped(null)} />
      )}
      <div class="row">
        <input id={large ? id : undefined} class="file" type="file" accept=".npy" aria-label={`${label} from a .npy file`} onChange={(event) => void take(event.currentTarget.files?.[0])} />
        <span class="drop-text">{shape ? `[${shape.join(", ")}]` : "or drop a .npy file"}</span>
        {shape && (
          <button type="button" class="quiet small" onClick={() => { setTyped(null); setTrouble(""); onChange(undefined); }}>
            remove
          </button>
        )}
      </div>
      {misfit && <p class="field-error">the endpoint asks for [{wanted.map((one) => one ?? "any").join(", ")}]</p>}
      {trouble && <p class="field-error" role="alert">{trouble}</p>}
    </div>
  );
}

function summary(value: unknown): string {
  const numbers = flat(value);
  return `${numbers.length} numbers: ${numbers.slice(0, 6).join(", ")}, …`;
}

function JsonField({ id, value, onChange, described, field }: Inner) {
  const [typed, setTyped] = useState<string | null>(null);
  const [trouble, setTrouble] = useState("");
  const area = useRef<HTMLTextAreaElement>(null);
  const shown = typed ?? (value === undefined ? "" : JSON.stringify(value, null, 2));
  useEffect(() => grow(area.current), [shown]);
  const change = (text: string) => {
    setTyped(text);
    try {
      onChange(text.trim() ? JSON.parse(text) : undefined);
      setTrouble("");
    } catch (error) {
      setTrouble(error instanceof Error ? error.message : String(error));
    }
  };
  return (
    <>
      <textarea id={id} ref={area} class="code" rows={1} placeholder={field.schema.type === "array" ? "[]" : "{}"} aria-describedby={described} spellcheck={false} value={shown} onInput={(event) => change(event.currentTarget.value)} onBlur={() => !trouble && setTyped(null)} />
      {trouble && <p class="field-error">{trouble}</p>}
    </>
  );
}
