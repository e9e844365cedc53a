/**
 * Two histograms over one scale, and a threshold between them.
 */
import { h, svg } from "./dom.js";
import { figure } from "./format.js";
import { t } from "./strings.js";

const W = 720,
  H = 280,
  LEFT = 16,
  RIGHT = 16,
  TOP = 40,
  BOTTOM = 40;

/** @typedef {{bins: number[], counts: number[]}} Counts `bins`: edges, one more than counts, or the lower edges */

/**
 * @param {{genuine: Counts, impostor: Counts, threshold: number|null}} calibration
 * @returns {SVGElement} each histogram is drawn to the same height: they are about where, not about how many
 */
export function histogram({ genuine, impostor, threshold }) {
  const edges = [...edgesOf(genuine), ...edgesOf(impostor)];
  const low = Math.min(...edges),
    high = Math.max(...edges);
  const x = (value) => LEFT + ((value - low) / (high - low || 1)) * (W - LEFT - RIGHT);
  const chart = svg("svg", {
    class: "histogram",
    viewBox: `0 0 ${W} ${H}`,
    role: "img",
    "aria-label": t.calibration.chart,
    "data-testid": "histogram",
  });
  chart.append(
    ...bars(impostor, x, "bar-impostor"),
    ...bars(genuine, x, "bar-genuine"),
    svg("line", { class: "axis", x1: LEFT, x2: W - RIGHT, y1: H - BOTTOM, y2: H - BOTTOM }),
  );
  for (let tick = Math.ceil(low * 5) / 5; tick <= high + 1e-9; tick += 0.2) {
    chart.append(
      svg("line", { class: "axis", x1: x(tick), x2: x(tick), y1: H - BOTTOM, y2: H - BOTTOM + 5 }),
      svg(
        "text",
        { class: "axis-text", x: x(tick), y: H - BOTTOM + 20, "text-anchor": "middle" },
        figure(Math.abs(tick) < 1e-9 ? 0 : tick, 1),
      ),
    );
  }
  chart.append(svg("text", { class: "axis-text", x: W / 2, y: H - 3, "text-anchor": "middle" }, t.calibration.axis));
  if (typeof threshold === "number") {
    const beyond = x(threshold) > W - 160;
    chart.append(
      svg("line", { class: "threshold", x1: x(threshold), x2: x(threshold), y1: TOP - 18, y2: H - BOTTOM }),
      svg(
        "text",
        {
          class: "threshold-text",
          x: x(threshold) + (beyond ? 4 : -4),
          y: TOP - 22,
          "text-anchor": beyond ? "end" : "start",
        },
        t.calibration.threshold(figure(threshold)),
      ),
    );
  }
  return chart;
}

function edgesOf({ bins, counts }) {
  if (bins.length > counts.length || bins.length < 2) return bins;
  return [...bins, bins.at(-1) + (bins[1] - bins[0])];
}

function bars(data, x, kind) {
  const edges = edgesOf(data);
  const most = Math.max(1, ...data.counts);
  const height = H - TOP - BOTTOM;
  return data.counts.map((n, i) => {
    const tall = n ? Math.max(1.5, (n / most) * height) : 0;
    return svg("rect", {
      class: kind,
      x: x(edges[i]) + 0.5,
      y: H - BOTTOM - tall,
      width: Math.max(0.5, x(edges[i + 1]) - x(edges[i]) - 1),
      height: tall,
    });
  });
}

/** The same figures as a table, for who cannot see the picture. */
export function histogramTable({ genuine, impostor }) {
  const rows = new Map();
  for (const [key, data] of Object.entries({ genuine, impostor })) {
    const edges = edgesOf(data);
    data.counts.forEach((n, i) => {
      const name = `${figure(edges[i])} – ${figure(edges[i + 1])}`;
      rows.set(name, { from: edges[i], ...rows.get(name), [key]: n });
    });
  }
  const sorted = [...rows].sort((a, b) => a[1].from - b[1].from).filter(([, r]) => r.genuine || r.impostor);
  return h(
    "table.table",
    { "data-testid": "histogram-table" },
    h("caption.unseen", {}, t.calibration.chart),
    h(
      "thead",
      {},
      h(
        "tr",
        {},
        h("th", { scope: "col" }, t.calibration.similarity),
        h("th.number", { scope: "col" }, t.calibration.genuine),
        h("th.number", { scope: "col" }, t.calibration.impostor),
      ),
    ),
    h(
      "tbody",
      {},
      sorted.map(([name, r]) =>
        h(
          "tr",
          {},
          h("th", { scope: "row" }, name),
          h("td.number", {}, r.genuine ?? 0),
          h("td.number", {}, r.impostor ?? 0),
        ),
      ),
    ),
  );
}
