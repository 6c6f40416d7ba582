/** Curves as SVG paths. */
import type { Point } from "./model.ts";

export interface Curve {
  path: string;
  /** The values that were drawn, by time. */
  last: number | null;
}

export interface Frame {
  from: number;
  to: number;
  most: number;
  width: number;
  height: number;
}

const GAP = 16;

/** A round number at or above the value, so that the scale stays calm while the values move. */
export function roundUp(value: number): number {
  if (!(value > 0)) return 1;
  const size = 10 ** Math.floor(Math.log10(value));
  for (const step of [1, 2, 2.5, 5, 10]) if (value <= step * size * 1.0001) return step * size;
  return 10 * size;
}

/** At most so many points, each the largest of its part of the time: peaks stay. */
export function thinned(points: Point[], column: string, frame: Frame, most: number): { time: number; value: number | null }[] {
  const found: { time: number; value: number | null }[] = [];
  const width = (frame.to - frame.from) / most;
  let bucket = -1;
  for (const point of points) {
    if (point.time < frame.from - GAP) continue;
    const value = point.values[column] ?? null;
    const own = Math.floor((point.time - frame.from) / width);
    const before = found[found.length - 1];
    if (own === bucket && before) {
      if (value !== null && (before.value === null || value > before.value)) before.value = value;
    } else {
      found.push({ time: point.time, value });
      bucket = own;
    }
  }
  return found;
}

export function curveOf(points: Point[], column: string, frame: Frame): Curve {
  let path = "";
  let before = -Infinity;
  let last: number | null = null;
  for (const { time, value } of thinned(points, column, frame, Math.max(60, Math.min(400, frame.width)))) {
    last = value;
    if (value === null) {
      before = -Infinity;
      continue;
    }
    const x = ((time - frame.from) / (frame.to - frame.from)) * frame.width;
    const y = frame.height - (Math.min(value, frame.most) / frame.most) * frame.height;
    const alone = time - before > GAP;
    path += `${alone ? "M" : "L"}${x.toFixed(1)} ${y.toFixed(1)}${alone ? "h.01" : ""}`;
    before = time;
  }
  return { path, last };
}

/** The largest value of the columns since a time. */
export function mostOf(points: Point[], columns: string[], from: number): number {
  let most = 0;
  for (const point of points)
    if (point.time >= from) for (const column of columns) most = Math.max(most, point.values[column] ?? 0);
  return most;
}

/** The point nearest to a time; undefined where there is none near. */
export function nearest(points: Point[], time: number): Point | undefined {
  let low = 0;
  let high = points.length - 1;
  while (low < high) {
    const half = (low + high) >> 1;
    if ((points[half]?.time ?? 0) < time) low = half + 1;
    else high = half;
  }
  const right = points[low];
  const left = points[low - 1];
  const best = left && right && time - left.time < right.time - time ? left : right;
  return best && Math.abs(best.time - time) <= GAP ? best : undefined;
}
