/** A layered layout of a directed graph: layers by the longest way, order within them by the middle of the neighbours. */

export interface Placed {
  name: string;
  x: number;
  y: number;
}

export interface Line {
  id: string;
  from: string;
  to: string;
  /** A cubic curve: its start, two handles, its end. */
  points: [number, number][];
}

export interface Layout {
  width: number;
  height: number;
  nodes: Placed[];
  lines: Line[];
}

export interface Sizes {
  nodeWidth: number;
  nodeHeight: number;
  gapAlong: number;
  gapAcross: number;
  /** Layers from the top down instead of from left to right. */
  down: boolean;
}

interface Link {
  id: string;
  from: string;
  to: string;
}

const SWEEPS = 6;

export function layOut(names: string[], links: Link[], sizes: Sizes): Layout {
  const known = new Set(names);
  const real = links.filter((link) => known.has(link.from) && known.has(link.to) && link.from !== link.to);
  const layers = layersOf(names, real);
  order(layers, real);
  return coordinates(layers, real, sizes);
}

/** Each node one layer behind the last of those it comes from. An edge of a circle that leads back is passed over. */
function layersOf(names: string[], links: Link[]): string[][] {
  const after = new Map<string, string[]>(names.map((name) => [name, []]));
  for (const link of links) after.get(link.from)?.push(link.to);
  const state = new Map<string, "open" | "done">();
  const sorted: string[] = [];
  const forward = new Map<string, string[]>(names.map((name) => [name, []]));
  const visit = (start: string) => {
    const stack: { name: string; next: number }[] = [{ name: start, next: 0 }];
    state.set(start, "open");
    while (stack.length) {
      const top = stack[stack.length - 1];
      if (!top) break;
      const to = after.get(top.name)?.[top.next++];
      if (to === undefined) {
        state.set(top.name, "done");
        sorted.push(top.name);
        stack.pop();
      } else if (state.get(to) !== "open") {
        forward.get(top.name)?.push(to);
        if (!state.has(to)) {
          state.set(to, "open");
          stack.push({ name: to, next: 0 });
        }
      }
    }
  };
  const reached = new Set(links.map((link) => link.to));
  for (const name of [...names.filter((one) => !reached.has(one)), ...names]) if (!state.has(name)) visit(name);
  const depth = new Map<string, number>();
  for (const name of sorted.reverse()) {
    const own = depth.get(name) ?? 0;
    depth.set(name, own);
    for (const to of forward.get(name) ?? []) depth.set(to, Math.max(depth.get(to) ?? 0, own + 1));
  }
  const layers: string[][] = [];
  for (const name of names) (layers[depth.get(name) ?? 0] ??= []).push(name);
  return Array.from(layers, (layer) => layer ?? []).filter((layer) => layer.length);
}

function order(layers: string[][], links: Link[]): void {
  const near = new Map<string, string[]>();
  for (const { from, to } of links) {
    near.set(from, [...(near.get(from) ?? []), to]);
    near.set(to, [...(near.get(to) ?? []), from]);
  }
  for (let sweep = 0; sweep < SWEEPS; sweep++) {
    const places = new Map<string, number>();
    for (const layer of layers) layer.forEach((name, index) => places.set(name, (index + 0.5) / layer.length));
    const list = sweep % 2 ? [...layers].reverse() : layers;
    for (const layer of list) {
      const middles = new Map(layer.map((name) => {
        const around = near.get(name) ?? [];
        const sum = around.reduce((total, other) => total + (places.get(other) ?? 0.5), 0);
        return [name, around.length ? sum / around.length : (places.get(name) ?? 0.5)];
      }));
      layer.sort((left, right) => (middles.get(left) ?? 0) - (middles.get(right) ?? 0));
      layer.forEach((name, index) => places.set(name, (index + 0.5) / layer.length));
    }
  }
}

function coordinates(layers: string[][], links: Link[], sizes: Sizes): Layout {
  const { nodeWidth, nodeHeight, gapAlong, gapAcross, down } = sizes;
  const along = down ? nodeHeight : nodeWidth;
  const across = down ? nodeWidth : nodeHeight;
  const most = Math.max(0, ...layers.map((layer) => layer.length));
  const breadth = most * across + Math.max(0, most - 1) * gapAcross;
  const places = new Map<string, { at: number; side: number; layer: number }>();
  layers.forEach((layer, index) => {
    const own = layer.length * across + (layer.length - 1) * gapAcross;
    layer.forEach((name, position) => {
      places.set(name, { at: index * (along + gapAlong), side: (breadth - own) / 2 + position * (across + gapAcross), layer: index });
    });
  });
  const length = layers.length * along + Math.max(0, layers.length - 1) * gapAlong;
  const turn = (at: number, side: number): [number, number] => (down ? [side, at] : [at, side]);
  const nodes = [...places].map(([name, { at, side }]) => {
    const [x, y] = turn(at, side);
    return { name, x, y };
  });
  let beside = 0;
  const lines = links.map((link) => {
    const from = places.get(link.from) ?? { at: 0, side: 0, layer: 0 };
    const to = places.get(link.to) ?? { at: 0, side: 0, layer: 0 };
    const begin = from.at + along;
    const bend = Math.max(gapAlong / 2, (to.at - begin) / 2);
    const start = from.side + across / 2;
    const end = to.side + across / 2;
    // A line over other layers goes round what stands in its way.
    const blocked = to.layer - from.layer > 1 && start === end && layers.slice(from.layer + 1, to.layer).some((layer) => layer.some((name) => (places.get(name)?.side ?? -1) + across / 2 === start));
    const shift = blocked ? across * 0.5 + gapAcross * 0.9 : 0;
    beside = Math.max(beside, shift ? shift : 0);
    const points: [number, number][] = [turn(begin, start), turn(begin + bend, start + shift * 1.33), turn(to.at - bend, end + shift * 1.33), turn(to.at, end)];
    return { ...link, points };
  });
  const [width, height] = turn(length, breadth + (most === 1 ? beside : 0));
  return { width, height, nodes, lines };
}

/** The middle of a curve, where its label goes. */
export function middle(points: [number, number][]): [number, number] {
  const [a = [0, 0], b = [0, 0], c = [0, 0], d = [0, 0]] = points;
  return [(a[0] + 3 * b[0] + 3 * c[0] + d[0]) / 8, (a[1] + 3 * b[1] + 3 * c[1] + d[1]) / 8];
}
