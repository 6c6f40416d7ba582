/** The RAFT groups of stateful Executors: who leads, how far each replica is, and what may be done about it. */
import { signal } from "@preact/signals";
import { useState } from "preact/hooks";
import { chosen, info, state } from "./feed.ts";
import { bytes, clock, count } from "./format.ts";
import { isObject } from "./merge.ts";
import type { Group, Member } from "./model.ts";
import { Bar } from "./performance.tsx";
import { ask } from "./server.ts";
import { Dialog, Empty, Pill } from "./ui.tsx";

interface Action {
  do: "snapshot" | "transfer" | "add" | "remove";
  group: string;
  replica?: number;
  address?: string;
}

const told = signal<{ good: boolean; text: string } | null>(null);
const asked = signal<{ action: Action; title: string; text: string } | null>(null);
const adding = signal("");
const busy = signal(false);

export function StateView() {
  const now = state.value;
  if (!now) return <Empty title="Waiting for the service…" />;
  const groups = Object.entries(now.groups ?? {});
  if (!groups.length)
    return <Empty title="No state is replicated here"><p>A Deployment with <code>stateful=True</code> keeps its replicas the same; its group appears here.</p></Empty>;
  const may = info.value?.rights.includes("admin") ?? false;
  return (
    <div class="groups">
      {!may && <p class="note">Read-only: {info.value?.why_not?.admin ?? "actions need the right admin."}</p>}
      <p class={`note ${told.value ? "" : "offscreen"} ${told.value?.good === false ? "bad" : ""}`} role="status">{told.value?.text ?? ""}</p>
      {groups.map(([name, group]) => <GroupPanel key={name} name={name} group={group} may={may} />)}
      {asked.value && <Confirm />}
      {adding.value && <AddReplica group={adding.value} known={Object.keys(now.groups[adding.value]?.replicas ?? {})} />}
    </div>
  );
}

async function act(action: Action): Promise<void> {
  asked.value = null;
  adding.value = "";
  busy.value = true;
  try {
    const body = JSON.stringify({ ...action, ...(chosen.value ? { service: chosen.value } : {}) });
    const answer: unknown = await (await ask("console/actions", { method: "POST", headers: { "content-type": "application/json" }, body })).json();
    told.value = { good: true, text: isObject(answer) ? String(answer.message ?? "done") : "done" };
  } catch (error) {
    told.value = { good: false, text: error instanceof Error ? error.message : String(error) };
  } finally {
    busy.value = false;
  }
}

function GroupPanel({ name, group, may }: { name: string; group: Group; may: boolean }) {
  const members = Object.entries(group.replicas ?? {}).sort(([left], [right]) => Number(left) - Number(right));
  const last = Math.max(1, ...members.map(([, one]) => one.last ?? one.committed ?? 0));
  const answering = members.filter(([, one]) => !one.error).length;
  const leader = group.leader === undefined || group.leader === null ? "no leader" : `replica ${group.leader} leads`;
  return (
    <section class="panel group" aria-label={`group ${name}`}>
      <header class="group-head">
        <h2>{name}</h2>
        <Pill state={group.healthy ? "ready" : answering > members.length / 2 ? "degraded" : "down"} text={group.healthy ? "healthy" : group.leader === undefined || group.leader === null ? "no leader" : "needs attention"} />
        <span class="deployment-about">{leader}{group.term !== undefined && group.term !== null ? `, term ${count(group.term)}` : ""} · {answering} of {members.length} replicas answer</span>
        {may && (
          <span class="row group-actions">
            <button type="button" class="small" disabled={busy.value} onClick={() => void act({ do: "snapshot", group: name })}>Snapshot</button>
            <button type="button" class="small" disabled={busy.value} onClick={() => { adding.value = name; }}>Add a replica</button>
          </span>
        )}
      </header>
      <div class="scroll" tabIndex={0} role="region" aria-label={`replicas of ${name}`}>
        <table>
          <thead>
            <tr>
              <th scope="col">replica</th>
              <th scope="col">role</th>
              <th scope="col" class="number">term</th>
              <th scope="col" class="number">committed</th>
              <th scope="col" class="number">applied</th>
              <th scope="col" class="wide">log</th>
              <th scope="col" class="number">behind</th>
              <th scope="col">snapshot</th>
              {may && <th scope="col"><span class="offscreen">actions</span></th>}
            </tr>
          </thead>
          <tbody>
            {members.map(([number, one]) => <MemberRow key={number} number={number} one={one} group={group} name={name} last={last} may={may} />)}
          </tbody>
        </table>
      </div>
    </section>
  );
}

interface RowProps {
  number: string;
  one: Member;
  group: Group;
  name: string;
  last: number;
  may: boolean;
}

function MemberRow({ number, one, group, name, last, may }: RowProps) {
  const leads = String(group.leader) === number;
  if (one.error)
    return (
      <tr>
        <th scope="row">{one.process || `replica ${number}`}</th>
        <td colSpan={may ? 8 : 7}><Pill state="down" text="does not answer" /> <span class="text since">{one.error}</span></td>
      </tr>
    );
  const behind = lagOf(number, group);
  const role = String(one.role ?? "").toLowerCase();
  return (
    <tr>
      <th scope="row">{one.process || `replica ${number}`}</th>
      <td>
        <Pill state={leads ? "ready" : role === "candidate" || one.serving === false ? "starting" : "stopped"} text={role || "unknown"} />
        {one.voter === false && <span class="since">no vote</span>}
        {diverged(one) && <strong class="bad"> diverged</strong>}
      </td>
      <td class="number">{count(one.term)}</td>
      <td class="number">{exact(one.committed)}</td>
      <td class="number">{exact(one.applied)}</td>
      <td class="wide"><Bar share={(one.applied ?? 0) / last} /></td>
      <td class={`number ${typeof behind === "number" && behind > 100 ? "warned" : ""}`}>{behind === "silent" ? <span class="bad">silent</span> : exact(behind)}</td>
      <td>{snapshotOf(one)}</td>
      {may && (
        <td class="row-actions">
          {!leads && one.voter !== false && (
            <button type="button" class="quiet small" disabled={busy.value} onClick={() => { asked.value = { action: { do: "transfer", group: name, replica: Number(number) }, title: "Let another replica lead?", text: `Replica ${number} of ${name} is to lead. Writes wait until it does.` }; }}>make leader</button>
          )}
          <button type="button" class="quiet small" disabled={busy.value} aria-label={`remove replica ${number} of ${name}`} onClick={() => { asked.value = { action: { do: "remove", group: name, replica: Number(number) }, title: "Remove the replica?", text: `Replica ${number} leaves ${name} for good: the others go on without it, and it counts for no majority any more.` }; }}>remove</button>
        </td>
      )}
    </tr>
  );
}

function exact(value: number | null | undefined): string {
  return typeof value === "number" ? value.toLocaleString("en-US") : "–";
}

function diverged(one: Member): boolean {
  return Array.isArray(one.diverged) ? one.diverged.length > 0 : isObject(one.diverged) ? Object.keys(one.diverged).length > 0 : Boolean(one.diverged);
}

/** How many entries the leader has that a replica lacks. */
function lagOf(number: string, group: Group): number | "silent" | null {
  const leader = group.leader === undefined || group.leader === null ? undefined : group.replicas[String(group.leader)];
  if (!leader) return null;
  if (String(group.leader) === number) return 0;
  if (leader.silent?.includes(number)) return "silent";
  return leader.lag?.[number] ?? null;
}

function snapshotOf(one: Member): string {
  if (!one.snapshot) return "none yet";
  const when = one.snapshot_time ? `, ${clock(one.snapshot_time)}` : "";
  return `entry ${exact(one.snapshot)}${one.snapshot_bytes ? `, ${bytes(one.snapshot_bytes)}` : ""}${when}`;
}

function Confirm() {
  const what = asked.value;
  if (!what) return null;
  const close = () => { asked.value = null; };
  return (
    <Dialog title={what.title} onClose={close}>
      <p>{what.text}</p>
      <div class="dialog-foot">
        <button type="button" onClick={close}>Cancel</button>
        <button type="button" class={what.action.do === "remove" ? "danger" : "primary"} onClick={() => void act(what.action)}>{what.action.do === "remove" ? "Remove" : "Make it lead"}</button>
      </div>
    </Dialog>
  );
}

function AddReplica({ group, known }: { group: string; known: string[] }) {
  const [number, setNumber] = useState(String(Math.max(-1, ...known.map(Number)) + 1));
  const [address, setAddress] = useState("");
  const close = () => { adding.value = ""; };
  const submit = (event: Event) => {
    event.preventDefault();
    void act({ do: "add", group, replica: Number(number), address: address.trim() });
  };
  return (
    <Dialog title={`Add a replica to ${group}`} onClose={close}>
      <form class="fields" onSubmit={submit}>
        <div class="field">
          <label class="field-label" for="replica">number</label>
          <input id="replica" inputMode="numeric" pattern="\d+" required value={number} onInput={(event) => setNumber(event.currentTarget.value)} />
        </div>
        <div class="field">
          <label class="field-label" for="address">address of its agent</label>
          <input id="address" required placeholder="host:port" value={address} onInput={(event) => setAddress(event.currentTarget.value)} />
        </div>
        <div class="dialog-foot">
          <button type="button" onClick={close}>Cancel</button>
          <button type="submit" class="primary">Add</button>
        </div>
      </form>
    </Dialog>
  );
}
