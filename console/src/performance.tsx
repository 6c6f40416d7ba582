/** How fast the service is, and where the time of its slowest requests went. */
import { signal } from "@preact/signals";
import { useMemo, useState } from "preact/hooks";
import { Chart } from "./chart.tsx";
import { curves, showTrack, state, track } from "./feed.ts";
import { bytes, clock, cores, count, plural, rate, seconds } from "./format.ts";
import { memo } from "./memo.ts";
import type { Process, Slow, Span, State } from "./model.ts";
import { Empty } from "./ui.tsx";

const span = signal(300);
const SPANS: [number, string][] = [[60, "1 minute"], [300, "5 minutes"], [900, "15 minutes"]];

export function Performance() {
  const now = state.value;
  if (!now) return <Empty title="Waiting for the service…" />;
  return (
    <div class="performance">
      <Choice now={now} />
      <Charts now={now} />
      <SlowRequests now={now} />
      <Endpoints now={now} />
      <Machines now={now} />
    </div>
  );
}

function Choice({ now }: { now: State }) {
  const deployments = Object.keys(now.deployments);
  const processes = now.fleet.names;
  // The list is long for large services: it changes only where the names do.
  const names = deployments.join();
  const options = useMemo(
    () => (
      <>
        <option value="total">the whole service</option>
        {deployments.length > 0 && (
          <optgroup label="Deployments">{deployments.map((name) => <option key={name} value={`deployment:${name}`}>{name}</option>)}</optgroup>
        )}
        <optgroup label="processes">{processes.map((name) => <option key={name} value={`process:${name}`}>{name}</option>)}</optgroup>
      </>
    ),
    [names, processes],
  );
  return (
    <div class="row controls">
      <label>
        <span class="offscreen">what is shown</span>
        <select value={track.value} onChange={(event) => showTrack(event.currentTarget.value)}>{options}</select>
      </label>
      <label>
        <span class="offscreen">how long</span>
        <select value={String(span.value)} onChange={(event) => { span.value = Number(event.currentTarget.value); }}>
          {SPANS.map(([value, text]) => <option key={value} value={String(value)}>{text}</option>)}
        </select>
      </label>
    </div>
  );
}

function Charts({ now }: { now: State }) {
  const points = curves.value.get(track.value) ?? [];
  const common = { points, to: now.time, window: span.value };
  return (
    <div class="charts">
      <Chart {...common} title="Throughput" told={rate} series={[{ column: "rate", name: "requests", colour: 1 }, { column: "errors", name: "errors", colour: 4 }]} />
      <Chart {...common} title="Latency" told={seconds} series={[{ column: "p50", name: "p50", colour: 1 }, { column: "p90", name: "p90", colour: 3 }, { column: "p99", name: "p99", colour: 2 }]} />
      <Chart {...common} title="Wait in the queue" told={seconds} series={[{ column: "queue_p50", name: "p50", colour: 1 }, { column: "queue_p99", name: "p99", colour: 2 }]} />
      <Chart {...common} title="In flight" told={count} series={[{ column: "in_flight", name: "requests", colour: 1 }]} />
      <Chart {...common} title="Batch size" told={count} series={[{ column: "batch", name: "documents", colour: 1 }]} />
      <Chart {...common} title="CPU" told={cores} least={0.1} series={[{ column: "cpu", name: "of one core", colour: 1 }]} />
      <Chart {...common} title="Memory" told={bytes} series={[{ column: "rss", name: "resident", colour: 1 }]} />
    </div>
  );
}

function SlowRequests({ now }: { now: State }) {
  const slow = now.slow ?? [];
  const [all, setAll] = useState(false);
  return (
    <section class="panel" aria-labelledby="slow">
      <h2 id="slow">
        Slowest requests of the last minutes
        {slow.length > 0 && (
          <span class="spans-legend" aria-hidden="true">
            <span><i class="hop" />on the way</span>
            <span><i class="queue" />waiting</span>
            <span><i class="handler" />handler</span>
          </span>
        )}
      </h2>
      {slow.length ? (
        <ul class="slow">{slow.slice(0, all ? undefined : 10).map((one) => <SlowRow key={`${one.id}-${one.at}`} one={one} most={slow[0]?.seconds ?? 1} />)}</ul>
      ) : (
        <Empty title="No requests yet"><p>They are kept while somebody looks here.</p></Empty>
      )}
      {slow.length > 10 && <button type="button" class="quiet small" onClick={() => setAll(!all)}>{all ? "show ten" : `show all ${slow.length}`}</button>}
    </section>
  );
}

const SlowRow = memo(function SlowRow({ one, most }: { one: Slow; most: number }) {
  const [open, setOpen] = useState(false);
  return (
    <li>
      <button type="button" class="slow-head" aria-expanded={open} onClick={() => setOpen(!open)}>
        <span class="endpoint-path">{one.endpoint}</span>
        <span class="slow-bar" aria-hidden="true"><Waterfall spans={one.spans} whole={most} /></span>
        <strong class={one.error ? "bad" : ""}>{seconds(one.seconds)}</strong>
        <span class="slow-at">{one.stream ? "stream, " : ""}{clock(one.at)}</span>
      </button>
      {open && <Spans one={one} />}
    </li>
  );
});

function Waterfall({ spans, whole }: { spans: Span[]; whole: number }) {
  return (
    <svg width="100%" height="10" viewBox="0 0 1000 10" preserveAspectRatio="none">
      {spans.map((one, index) => (
        <rect key={index} class={`span ${one.kind}`} x={(one.start / whole) * 1000} width={Math.max(2, (one.seconds / whole) * 1000)} y="0" height="10" />
      ))}
    </svg>
  );
}

function Spans({ one }: { one: Slow }) {
  const whole = Math.max(one.seconds, ...one.spans.map((span_) => span_.start + span_.seconds));
  return (
    <div class="spans">
      {one.error && <p class="field-error">{one.error}</p>}
      <div class="scroll" tabIndex={0} role="region" aria-label={`spans of ${one.id}`}>
        <table>
          <thead><tr><th scope="col">span</th><th scope="col">process</th><th scope="col" class="wide">when</th><th scope="col" class="number">took</th></tr></thead>
          <tbody>
            {one.spans.map((part, index) => (
              <tr key={index}>
                <td>{part.name === part.kind ? part.kind : `${part.kind} ${part.name}`}</td>
                <td>{part.process}</td>
                <td class="wide">
                  <svg class="gantt" width="100%" height="10" viewBox="0 0 1000 10" preserveAspectRatio="none" role="img" aria-label={`from ${seconds(part.start)} on`}>
                    <rect class={`span ${part.kind}`} x={(part.start / whole) * 1000} width={Math.max(3, (part.seconds / whole) * 1000)} y="0" height="10" />
                  </svg>
                </td>
                <td class="number">{seconds(part.seconds)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      <p><a href={`#/logs/${encodeURIComponent(one.id)}`}>the log of {one.id}</a></p>
    </div>
  );
}

const ENDPOINTS = 200;

/** What was asked for, over all replicas. */
function Endpoints({ now }: { now: State }) {
  const found = new Map<string, { rate: number; p99: number | null; count: number; failed: number; failures: Map<string, number> }>();
  for (const process of now.processes.values()) {
    if (process.gateway) continue;
    for (const path in process.endpoints) {
      const numbers = process.endpoints[path];
      if (!numbers?.count) continue;
      const name = `${process.deployment}${path}`;
      const own = found.get(name) ?? { rate: 0, p99: null, count: 0, failed: 0, failures: new Map<string, number>() };
      own.rate += numbers.rate ?? 0;
      own.count += numbers.count ?? 0;
      own.failed += numbers.failed ?? 0;
      if (typeof numbers.p99 === "number") own.p99 = Math.max(own.p99 ?? 0, numbers.p99);
      if (numbers.failed) for (const [kind, many] of Object.entries(numbers.failures ?? {})) own.failures.set(kind, (own.failures.get(kind) ?? 0) + many);
      found.set(name, own);
    }
  }
  if (!found.size) return null;
  return (
    <section class="panel" aria-labelledby="endpoints-title">
      <h2 id="endpoints-title">Endpoints</h2>
      <div class="scroll" tabIndex={0} role="region" aria-label="numbers by endpoint">
        <table>
          <thead><tr><th scope="col">endpoint</th><th scope="col" class="number">now</th><th scope="col" class="number">p99</th><th scope="col" class="number">calls</th><th scope="col" class="number">failed</th><th scope="col">why</th></tr></thead>
          <tbody>
            {[...found].slice(0, ENDPOINTS).map(([name, own]) => (
              <tr key={name}>
                <th scope="row">{name}</th>
                <td class="number">{rate(own.rate)}</td>
                <td class="number">{seconds(own.p99)}</td>
                <td class="number">{count(own.count)}</td>
                <td class={`number ${own.failed ? "bad" : ""}`}>{count(own.failed)}</td>
                <td>{[...own.failures].map(([kind, many]) => `${kind} ${count(many)}`).join(", ")}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}

const ROWS = 50;

/** Processor and memory of each process, the busiest first. */
function Machines({ now }: { now: State }) {
  const [rows, setRows] = useState(ROWS);
  const { names, largest } = now.fleet;
  // In the order of the first look, or rows would jump about under the pointer.
  const order = useMemo(() => {
    const size = (name: string) => now.processes.get(name)?.rss ?? 0;
    return [...names].sort((left, right) => size(right) - size(left));
  }, [names]);
  const shown = order.slice(0, rows);
  return (
    <section class="panel" aria-labelledby="machines">
      <h2 id="machines">Processor and memory</h2>
      <div class="scroll" tabIndex={0} role="region" aria-label="processor and memory by process">
        <table>
          <thead><tr><th scope="col">process</th><th scope="col" class="number">CPU</th><th scope="col" class="wide"><span class="offscreen">CPU as a bar</span></th><th scope="col" class="number">memory</th><th scope="col" class="wide"><span class="offscreen">memory as a bar</span></th><th scope="col" class="number">threads</th><th scope="col" class="number">files</th></tr></thead>
          <tbody>{shown.map((name) => <MachineRow key={name} name={name} one={now.processes.get(name)} most={largest || 1} />)}</tbody>
        </table>
      </div>
      {names.length > rows && <button type="button" class="quiet small" onClick={() => setRows(rows + 100)}>show more: {plural(names.length - rows, "process", "processes")} left</button>}
    </section>
  );
}

const MachineRow = memo(function MachineRow({ name, one, most }: { name: string; one: Process | undefined; most: number }) {
  if (!one) return null;
  return (
    <tr>
      <th scope="row">{name}</th>
      <td class="number">{cores(one.cpu)}</td>
      <td class="wide"><Bar share={Math.min(1, one.cpu ?? 0)} /></td>
      <td class="number">{bytes(one.rss)}</td>
      <td class="wide"><Bar share={(one.rss ?? 0) / most} /></td>
      <td class="number">{count(one.threads)}</td>
      <td class="number">{count(one.files)}</td>
    </tr>
  );
});

export function Bar({ share }: { share: number }) {
  return (
    <svg class="bar" width="100%" height="6" viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true">
      <rect class="bar-back" width="100" height="6" />
      <rect class="bar-front" width={Math.max(0, Math.min(100, share * 100))} height="6" />
    </svg>
  );
}
