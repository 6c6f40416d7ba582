/** What runs: the graph of the service with live edges, and its Deployments with their replicas. */
import { useMemo, useState } from "preact/hooks";
import { memo } from "./memo.ts";
import { state } from "./feed.ts";
import { bytes, cores, count, duration, plural, rate, seconds, version } from "./format.ts";
import type { Group, Processes } from "./fleet.ts";
import { type Layout, layOut, middle } from "./layout.ts";
import type { Deployment, Edge, Process, State } from "./model.ts";
import { go, place } from "./route.ts";
import { CopyButton, Empty, Icon, Pill, Stat, health, useWidth } from "./ui.tsx";

export function Overview() {
  const now = state.value;
  if (!now) return <Empty title="Waiting for the service…" />;
  return (
    <div class="overview">
      <Figures now={now} />
      <Problems now={now} />
      <Graph now={now} />
      <Deployments now={now} />
      <Addresses now={now} />
    </div>
  );
}

function Figures({ now }: { now: State }) {
  const { total } = now;
  const { ready: up, restarts, cpu, rss, names } = now.fleet;
  const many = names.length;
  const waiting = Object.values(now.service.steps ?? {}).reduce((sum, one) => sum + one.waiting, 0);
  return (
    <dl class="figures">
      <Stat label="Requests" value={rate(total.rate ?? 0)} hint={`${count(total.count)} since the start`} />
      <Stat label="Errors" value={rate(total.errors ?? 0)} hint={`${count(total.failed)} since the start`} tone={total.errors ? "bad" : ""} />
      <Stat label="Latency" value={seconds(total.p50)} hint={`p99 ${seconds(total.p99)}`} />
      <Stat label="In flight" value={count(total.in_flight ?? 0)} hint={`${count(waiting)} waiting`} />
      <Stat label="Processes" value={up === many ? String(up) : `${up} of ${many}`} hint={restarts ? plural(restarts, "restart") : "no restarts"} tone={up < many ? "soon" : ""} />
      <Stat label="CPU, memory" value={cores(cpu)} hint={bytes(rss)} />
    </dl>
  );
}

function Problems({ now }: { now: State }) {
  const lines = now.fleet.ill.map((name) => {
    const one = now.processes.get(name);
    return `${name} is ${one?.state}${one?.last_end ? `: ${one.last_end}` : ""}`;
  });
  lines.push(...(now.problems ?? []));
  if (!lines.length) return null;
  return (
    <ul class="problems" aria-label="problems">
      {lines.slice(0, 8).map((line, index) => <li key={index}>{line}</li>)}
      {lines.length > 8 && <li>and {lines.length - 8} more</li>}
    </ul>
  );
}

const WIDE = { nodeWidth: 184, nodeHeight: 76, gapAlong: 132, gapAcross: 28, down: false };
const TALL = { nodeWidth: 150, nodeHeight: 72, gapAlong: 66, gapAcross: 20, down: true };

function Graph({ now }: { now: State }) {
  const [box, width] = useWidth<HTMLDivElement>();
  const { nodes, edges } = now.graph;
  const names = Object.keys(nodes);
  const narrow = width > 0 && width < 620;
  // The layout depends on which nodes and edges there are, not on what flows.
  const shape = `${narrow}|${names.join()}|${Object.keys(edges).join()}`;
  const layout = useMemo(
    () => layOut(names, Object.entries(edges).map(([id, edge]) => ({ id, from: edge.from, to: edge.to })), narrow ? TALL : WIDE),
    [shape],
  );
  if (names.length < 2) return <div ref={box} />;
  return (
    <section class="panel graph" aria-label="graph of the service">
      <div ref={box} class="graph-scroll" tabIndex={0} role="group" aria-label="graph, scrolls where it is wide">
        {width > 0 && <Drawing layout={layout} now={now} narrow={narrow} room={width - 2 * BOX_PAD} />}
      </div>
    </section>
  );
}

const EDGE_PAD = 16;
/** What the style has around the drawing at either side. */
const BOX_PAD = 16;

function Drawing({ layout, now, narrow, room }: { layout: Layout; now: State; narrow: boolean; room: number }) {
  const size = narrow ? TALL : WIDE;
  const width = layout.width + 2 * EDGE_PAD;
  const height = layout.height + 2 * EDGE_PAD;
  const scale = Math.min(1, Math.max(narrow ? 0.55 : 0.5, room / width));
  const busiest = Math.max(1, ...Object.values(now.graph.edges).map((edge) => edge.rate ?? 0));
  return (
    <svg width={width * scale} height={height * scale} viewBox={`${-EDGE_PAD} ${-EDGE_PAD} ${width} ${height}`} role="group" aria-label="Deployments and what flows between them">
      {layout.lines.map((line) => {
        const edge = now.graph.edges[line.id];
        return edge ? <EdgeLine key={line.id} edge={edge} points={line.points} busiest={busiest} narrow={narrow} /> : null;
      })}
      {layout.nodes.map((node) => (
        <NodeBox key={node.name} name={node.name} kind={now.graph.nodes[node.name]?.kind ?? ""} deployment={now.deployments[node.name]} gateway={gatewayOf(now, node.name)} x={node.x} y={node.y} width={size.nodeWidth} height={size.nodeHeight} chosen={place.value.rest === node.name} rate={rateOf(now, node.name)} />
      ))}
    </svg>
  );
}

function gatewayOf(now: State, name: string): string {
  if (now.graph.nodes[name]?.kind !== "gateway") return "";
  return now.fleet.groups.get("gateway")?.state ?? now.service.state;
}

function rateOf(now: State, name: string): number | null {
  return now.graph.nodes[name]?.kind === "gateway" ? (now.total.rate ?? 0) : (now.deployments[name]?.numbers?.rate ?? null);
}

const EdgeLine = memo(function EdgeLine({ edge, points, busiest, narrow }: { edge: Edge; points: [number, number][]; busiest: number; narrow: boolean }) {
  const [a = [0, 0], b = [0, 0], c = [0, 0], d = [0, 0]] = points;
  const flows = (edge.rate ?? 0) > 0;
  const failing = (edge.errors ?? 0) > 0;
  const share = flows ? Math.log1p(edge.rate ?? 0) / Math.log1p(busiest) : 0;
  const [x, y] = middle(points);
  const path = `M${a[0]} ${a[1]}C${b[0]} ${b[1]} ${c[0]} ${c[1]} ${d[0]} ${d[1]}`;
  const down = (edge.of ?? 0) > 0 && (edge.up ?? 0) < (edge.of ?? 0);
  const told = `${edge.from} to ${edge.to}: ${rate(edge.rate ?? 0)}, ${seconds(edge.latency)}, errors ${rate(edge.errors ?? 0)}, ${edge.up ?? 0} of ${edge.of ?? 0} replicas reachable`;
  return (
    <g class={`edge ${flows ? "flows" : ""} ${failing ? "failing" : ""} ${edge.floating ? "floating" : ""}`} role="img" aria-label={told}>
      <title>{told}</title>
      <path class="edge-line" d={path} stroke-width={1.25 + 1.5 * share} />
      {flows && <path class="edge-flow" d={path} stroke-width={2.5 + 2 * share} />}
      {(flows || down) && (
        <g class="edge-label" transform={`translate(${x} ${y})`}>
          {flows && !narrow && <text y="4">{rate(edge.rate)} · {seconds(edge.latency)}</text>}
          {flows && narrow && <text y="-3">{rate(edge.rate)}</text>}
          {flows && narrow && <text y="12">{seconds(edge.latency)}</text>}
          {!flows && <text y="4">{edge.up ?? 0} of {edge.of ?? 0} up</text>}
          {failing && <text class="edge-errors" y={narrow ? 27 : 20}>{rate(edge.errors)} errors</text>}
        </g>
      )}
    </g>
  );
});

interface NodeProps {
  name: string;
  kind: string;
  deployment: Deployment | undefined;
  gateway: string;
  x: number;
  y: number;
  width: number;
  height: number;
  chosen: boolean;
  rate: number | null;
}

const NodeBox = memo(function NodeBox({ name, kind, deployment, gateway, x, y, width, height, chosen, rate: own }: NodeProps) {
  if (kind === "join")
    return (
      <g class="node join" transform={`translate(${x + width / 2} ${y + height / 2})`} role="img" aria-label={`${name}: joins branches`}>
        <title>{name}: joins branches</title>
        <circle r="9" />
      </g>
    );
  const now = deployment?.state ?? (gateway || "");
  const told = deployment ? `${deployment.ready} of ${deployment.replicas * Math.max(1, deployment.shards)} replicas ready` : kind;
  const letters = Math.floor((width - 40) / 7.6);
  const shown = name.length > letters ? `${name.slice(0, letters - 1)}…` : name;
  const select = () => go("overview", chosen ? "" : name);
  return (
    <g
      class={`node ${health(kind === "external" ? "" : now)} ${chosen ? "chosen" : ""}`}
      transform={`translate(${x} ${y})`}
      role="button"
      tabindex={0}
      aria-pressed={chosen}
      onClick={select}
      onKeyDown={(event) => {
        if (event.key === "Enter" || event.key === " ") {
          event.preventDefault();
          select();
        }
      }}
    >
      <title>{`${name}: ${now || kind}, ${told}`}</title>
      <rect class="node-box" width={width} height={height} rx="10" />
      <circle class="node-dot" cx="18" cy="23" r="4.5" />
      <text aria-hidden="true" class="node-name" x="31" y="28">{shown}</text>
      <text aria-hidden="true" class="node-about" x="14" y="50">{kind === "gateway" ? "gateway" : kind === "external" ? "external" : deployment ? about(deployment) : ""}</text>
      {own !== null && <text aria-hidden="true" class="node-rate" x={width - 14} y="50">{rate(own)}</text>}
      {deployment && !deployment.external && <Replicas deployment={deployment} width={width} y={height - 13} />}
    </g>
  );
});

function about(one: Deployment): string {
  const parts = [plural(one.replicas, "replica")];
  if (one.shards > 1) parts.push(plural(one.shards, "shard"));
  return parts.join(" × ");
}

/** A mark for each replica; a bar where there are many. */
function Replicas({ deployment, width, y }: { deployment: Deployment; width: number; y: number }) {
  const all = Math.max(deployment.ready, deployment.replicas * Math.max(1, deployment.shards));
  const room = width - 28;
  const step = room / Math.max(1, all);
  const gap = step > 6 ? 3 : 0;
  const done = deployment.ready * step;
  if (all > 40)
    return (
      <g>
        <rect class="mark" x="14" y={y} width={room} height="4" rx="2" />
        <rect class="mark up" x="14" y={y} width={done} height="4" rx="2" />
      </g>
    );
  return (
    <g>
      {Array.from({ length: all }, (_, index) => (
        <rect key={index} class={`mark ${index < deployment.ready ? "up" : ""}`} x={14 + index * step} y={y} width={Math.max(1, step - gap)} height="4" rx="2" />
      ))}
    </g>
  );
}

function Deployments({ now }: { now: State }) {
  const { names, groups } = now.fleet;
  const wanted = place.value.rest;
  const few = names.length <= 24;
  return (
    <section aria-label="Deployments" class="deployments">
      {[...groups].map(([name, group]) => (
        <DeploymentRow key={name} name={name} one={now.deployments[name]} group={group} processes={now.processes} open={wanted ? wanted === name : few} steps={now.service.steps?.[name]} />
      ))}
    </section>
  );
}

interface RowProps {
  name: string;
  one: Deployment | undefined;
  group: Group;
  processes: Processes;
  open: boolean;
  steps: { waiting: number; wait: number; wanted?: number | null } | undefined;
}

function DeploymentRow({ name, one, group, processes, open, steps }: RowProps) {
  const [toggled, setToggled] = useState<boolean | null>(null);
  const shown = toggled ?? open;
  const own = one?.state ?? group.state;
  const { ready, executor } = group;
  const numbers = one?.numbers;
  return (
    <div class="panel deployment">
      <h2>
        <button type="button" class="deployment-head" aria-expanded={shown} onClick={() => setToggled(!shown)}>
          <Icon name="down" />
          <span class="deployment-name">{name}</span>
          <Pill state={own} />
          <span class="deployment-about">
            {executor && executor !== name ? `${executor} · ` : ""}
            {one?.versions?.length ? `${one.versions.map(version).join(" and ")} · ` : ""}
            {ready} of {plural(group.names.length, "process", "processes")} ready
            {one?.stateful ? " · stateful" : ""}
            {steps?.waiting ? ` · ${count(steps.waiting)} waiting` : ""}
            {typeof steps?.wanted === "number" ? ` · autoscale asks for ${steps.wanted}` : ""}
          </span>
          {numbers && (
            <span class="deployment-numbers">
              {rate(numbers.rate ?? 0)}
              <em>p99 {seconds(numbers.p99)}</em>
              {numbers.errors ? <strong class="bad">{rate(numbers.errors)} errors</strong> : null}
            </span>
          )}
        </button>
      </h2>
      {shown && <ProcessTable names={group.names} processes={processes} name={name} />}
    </div>
  );
}

const ROWS = 40;

function ProcessTable({ names, processes, name }: { names: string[]; processes: Processes; name: string }) {
  const [rows, setRows] = useState(ROWS);
  const clock = Math.floor(state.value?.time ?? 0);
  const shown = names.slice(0, rows);
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label={`processes of ${name}`}>
      <table class="processes">
        <thead>
          <tr>
            <th scope="col">process</th>
            <th scope="col">state</th>
            <th scope="col" class="number">in flight</th>
            <th scope="col" class="number">queued</th>
            <th scope="col" class="number">CPU</th>
            <th scope="col" class="number">memory</th>
            <th scope="col" class="number">restarts</th>
            <th scope="col">version</th>
            <th scope="col">runs in</th>
          </tr>
        </thead>
        <tbody>
          {shown.map((key) => {
            const one = processes.get(key);
            return one && <ProcessRow key={key} name={key} one={one} clock={clock} />;
          })}
        </tbody>
      </table>
      {names.length > rows && (
        <button type="button" class="quiet small" onClick={() => setRows(rows + 100)}>show more: {names.length - rows} are left</button>
      )}
    </div>
  );
}

const ProcessRow = memo(function ProcessRow({ name, one, clock }: { name: string; one: Process; clock: number }) {
  return (
    <>
      <tr>
        <th scope="row">{name}</th>
        <td><Pill state={one.state} /> <span class="since">{duration(one.since === undefined ? null : clock - one.since)}</span></td>
        <td class="number">{count(one.in_flight)}</td>
        <td class="number">{count(one.queued)}</td>
        <td class="number">{cores(one.cpu)}</td>
        <td class="number">{bytes(one.rss)}</td>
        <td class={`number ${one.restarts ? "warned" : ""}`}>{count(one.restarts)}</td>
        <td>{versions(one)}</td>
        <td>{where(one)}</td>
      </tr>
      {one.last_end && (
        <tr class="ended">
          <td colSpan={9}><span>last end: {one.last_end}</span></td>
        </tr>
      )}
    </>
  );
});

/** That of the Executor, where it has one, and that of jina. */
function versions(one: Process): string {
  const own = one.executor_version ? version(one.executor_version) : "";
  return [own, one.version ? `jina ${one.version}` : ""].filter(Boolean).join(" · ") || "–";
}

function where(one: Process): string {
  const { kind = "process", host = "", pod = "" } = one.place ?? {};
  if (one.image) return `container of ${version(one.image)}`;
  if (kind === "pod") return `pod ${pod || host}`;
  if (kind === "container") return `container ${host}${one.pid ? ` · ${one.pid}` : ""}`;
  return one.pid ? `process ${one.pid}${host ? ` on ${host}` : ""}` : "–";
}

function Addresses({ now }: { now: State }) {
  const { addresses, log_dir: logs, version, python, pid } = now.service;
  return (
    <section class="panel addresses" aria-label="addresses">
      <dl class="values">
        {(addresses ?? []).map((address) => (
          <div key={address}>
            <dt>served at</dt>
            <dd><code>{address}</code> <CopyButton text={() => address} /></dd>
          </div>
        ))}
        {logs && <div><dt>logs</dt><dd><code>{logs}</code></dd></div>}
        <div><dt>runs</dt><dd>jina {version}, Python {python}, process {pid}</dd></div>
      </dl>
    </section>
  );
}
