import { useState } from "preact/hooks";
import { type Frame, curveOf, mostOf, nearest, roundUp } from "./chart.ts";
import { clock } from "./format.ts";
import type { Point } from "./model.ts";
import { useWidth } from "./ui.tsx";

export interface Series {
  column: string;
  name: string;
  /** Which of the four colours. */
  colour: 1 | 2 | 3 | 4;
}

interface Props {
  title: string;
  series: Series[];
  points: Point[];
  to: number;
  window: number;
  told: (value: number | null | undefined) => string;
  /** The scale reaches at least so far. */
  least?: number;
}

const HEIGHT = 112;

/** Curves over the last minutes, with the newest values in words. */
export function Chart({ title, series, points, to, window: span, told, least = 0 }: Props) {
  const [box, width] = useWidth<HTMLDivElement>();
  const [at, setAt] = useState<number | null>(null);
  const from = to - span;
  const columns = series.map((one) => one.column);
  const frame: Frame = { from, to, most: roundUp(Math.max(least, mostOf(points, columns, from))), width, height: HEIGHT };
  const newest = points[points.length - 1];
  const shown = at === null ? newest : nearest(points, from + at * span);
  const words = series.map((one) => `${one.name} ${told(newest?.values[one.column])}`).join(", ");
  const point = (event: PointerEvent & { currentTarget: Element }) => {
    const edge = event.currentTarget.getBoundingClientRect();
    setAt(Math.max(0, Math.min(1, (event.clientX - edge.left) / edge.width)));
  };
  const cross = shown && at !== null ? ((shown.time - from) / span) * width : null;
  return (
    <figure class="panel chart">
      <figcaption>
        <h2>{title}</h2>
        <span class="chart-at">{at !== null && shown ? clock(shown.time) : ""}</span>
      </figcaption>
      <ul class="legend">
        {series.map((one) => (
          <li key={one.column}>
            <i class={`colour c${one.colour}`} aria-hidden="true" />
            {one.name} <strong>{told(shown?.values[one.column])}</strong>
          </li>
        ))}
      </ul>
      <div ref={box} class="chart-box">
        {width > 0 && (
          <svg width={width} height={HEIGHT} viewBox={`0 0 ${width} ${HEIGHT}`} role="img" aria-label={`${title}: ${words}`} onPointerMove={point} onPointerLeave={() => setAt(null)}>
            <path class="grid" d={`M0 .5H${width}M0 ${HEIGHT / 2}H${width}M0 ${HEIGHT - 0.5}H${width}`} />
            {series.map((one) => {
              const { path } = curveOf(points, one.column, frame);
              return (
                <g key={one.column} class={`curve c${one.colour}`}>
                  {one.colour === 1 && series.length === 1 && path && <path class="area" d={areaOf(path)} />}
                  <path class="line" d={path} />
                </g>
              );
            })}
            {cross !== null && <path class="cross" d={`M${cross.toFixed(1)} 0V${HEIGHT}`} />}
            <text class="scale" x="2" y="12">{told(frame.most)}</text>
          </svg>
        )}
      </div>
    </figure>
  );
}

function areaOf(path: string): string {
  return path.replace(/M([\d.-]+) ([\d.-]+)h\.01((?:L[\d.-]+ [\d.-]+)*)/g, (_all, x: string, y: string, rest: string) => {
    const last = rest ? (rest.split("L").pop() ?? "").split(" ")[0] : x;
    return `M${x} ${HEIGHT}L${x} ${y}${rest}L${last} ${HEIGHT}Z`;
  });
}
