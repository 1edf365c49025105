"use strict";
// Each figure of the page names in data-draw the function that draws it from its JSON.
const molnet = { draw: {} };

molnet.text = "var(--text)";
molnet.colours = [1, 2, 3, 4, 5, 6].map((number) => `var(--c${number})`);

molnet.element = (name, attributes = {}, ...children) => {
  const element = Object.assign(document.createElement(name), attributes);
  element.append(...children);
  return element;
};

// Draws now, and again when the width changes; make(width) returns a drawing.
molnet.fitted = (place, make) => {
  let width = 0;
  const redraw = () => {
    width = place.clientWidth;
    if (width > 0) place.replaceChildren(make(width));
  };
  new ResizeObserver(() => {
    if (place.clientWidth !== width) redraw();
  }).observe(place);
  redraw();
  return redraw;
};

molnet.common = (width, data) => ({
  width,
  height: Math.min(320, Math.max(220, 0.6 * width)),
  marginTop: 30,
  marginLeft: 56,
  marginBottom: 42,
  style: { background: "none", color: molnet.text, fontSize: "12px", fontFamily: "inherit" },
  x: { label: data.xLabel, labelAnchor: "center", labelArrow: "none", ticks: Math.max(3, width / 90) },
  y: { label: data.yLabel, labelArrow: "none", nice: true, grid: true },
});

// Steps and epochs have no fractions.
molnet.integers = (options, x) => {
  if (!x.every(Number.isInteger)) return;
  options.x.ticks = d3.ticks(...d3.extent(x), options.x.ticks).filter(Number.isInteger);
  options.x.tickFormat = "d";
};

molnet.rows = (x, y, names) => Array.from(x, (value, i) => ({ x: value, y: y[i], name: names?.[i] }));

molnet.draw.lines = (place, data) => {
  const names = Object.keys(data.series);
  const rows = names.flatMap((series) =>
    molnet.rows(data.x, data.series[series]).map((row) => ({ ...row, series })));
  molnet.fitted(place, (width) => {
    const options = molnet.common(width, data);
    molnet.integers(options, data.x);
    if (data.log) Object.assign(options.y, { type: "log", ticks: 5, tickFormat: ".3~g", nice: false });
    return Plot.plot({
      ...options,
      color: { domain: names, range: molnet.colours, legend: names.length > 1 },
      marks: [
        Plot.lineY(rows, { x: "x", y: "y", stroke: "series", strokeWidth: 1.8 }),
        rows.length === names.length ? Plot.dot(rows, { x: "x", y: "y", fill: "series", r: 4 }) : null,
        Plot.tip(rows, Plot.pointerX({ x: "x", y: "y", stroke: "series" })),
      ],
    });
  });
};

molnet.draw.points = (place, data) => {
  const points = molnet.rows(data.x, data.y, data.names);
  const cells = data.cells.map(([x1, x2, y1, y2, count]) => ({ x1, x2, y1, y2, count }));
  const all = [...points.flatMap((p) => [p.x, p.y]), ...cells.flatMap((c) => [c.x1, c.x2, c.y1, c.y2])];
  molnet.fitted(place, (width) => {
    const options = molnet.common(width, data);
    if (data.parity) {
      const [low, high] = d3.extent(all);
      const margin = 0.04 * (high - low) || 0.5;
      options.x.domain = options.y.domain = [low - margin, high + margin];
      options.y.nice = false;
      options.height = Math.min(width, 460);
    }
    return Plot.plot({
      ...options,
      opacity: { type: "log", range: [0.18, 1] },
      marks: [
        data.parity ? Plot.link([options.x.domain], {
          x1: "0", x2: "1", y1: "0", y2: "1", stroke: "var(--faint)", strokeDasharray: "4 3" }) : null,
        Plot.rect(cells, { x1: "x1", x2: "x2", y1: "y1", y2: "y2", fill: "var(--c1)", fillOpacity: "count", inset: 0 }),
        Plot.dot(points, { x: "x", y: "y", r: cells.length ? 2.2 : 3, fill: cells.length ? "var(--c2)" : "var(--c1)", fillOpacity: 0.65 }),
        Plot.tip(points, Plot.pointer({
          x: "x", y: "y",
          channels: data.names.length ? { name: { value: "name", label: "" } } : {},
          format: { name: true, x: ".6~g", y: ".6~g" },
        })),
      ],
    });
  });
};

molnet.draw.histogram = (place, data) => {
  const rows = Array.from(data.counts, (count, i) => ({ from: data.edges[i], to: data.edges[i + 1], count }));
  molnet.fitted(place, (width) => Plot.plot({
    ...molnet.common(width, data),
    marks: [
      Plot.rectY(rows, { x1: "from", x2: "to", y: "count", fill: "var(--c1)", inset: 0.5, tip: { format: { x: ".4~g" } } }),
      Plot.ruleY([0]),
      data.edges[0] < 0 ? Plot.ruleX([0], { stroke: "var(--faint)", strokeDasharray: "4 3" }) : null,
    ],
  }));
};

molnet.draw.bars = (place, data) => {
  const rows = data.names.map((name, i) => ({ name, value: data.values[i], count: data.counts?.[i] }));
  const short = (name) => (name.length > 24 ? `${name.slice(0, 23)}…` : name);
  const longest = d3.max(data.names, (name) => short(name).length) ?? 0;
  molnet.fitted(place, (width) => Plot.plot({
    ...molnet.common(width, data),
    height: 60 + 26 * rows.length,
    marginTop: 10,
    marginLeft: Math.min(width / 2.5, 24 + 7 * longest),
    marginRight: 50,
    x: { ...molnet.common(width, data).x, grid: true },
    y: { label: null, domain: data.names, tickFormat: short },
    marks: [
      Plot.barX(rows, {
        y: "name", x: "value", fill: "var(--c1)", insetTop: 2, insetBottom: 2,
        channels: data.counts ? { count: { value: "count", label: "values" } } : {}, tip: { format: { x: ".4~g" } },
      }),
      Plot.text(rows, { y: "name", x: "value", text: (row) => d3.format(".3~g")(row.value), textAnchor: "start", dx: 5 }),
      Plot.ruleX([0]),
    ],
  }));
};

// The density of states stands beside the bands, with their axis.
molnet.draw.bands = (place, data) => {
  const rows = data.lines.flatMap((line, i) => line.bands.flatMap((band, j) =>
    molnet.rows(line.x, band).map((row) => ({ ...row, band: `${i} ${j}` }))));
  const end = data.ticks.at(-1)[0];
  const wide = (0.3 * end) / (d3.max(data.density) || 1);
  const density = molnet.rows(data.levels, data.density).map((row) => ({ x: 1.06 * end + wide * row.y, y: row.x, density: row.y }));
  const names = new Map(data.ticks);
  const [low, high] = d3.extent([0, ...rows.map((row) => row.y)]);
  molnet.fitted(place, (width) => {
    const options = molnet.common(width, data);
    return Plot.plot({
      ...options,
      height: Math.min(460, Math.max(260, 0.6 * width)),
      x: { domain: [0, 1.36 * end], ticks: data.ticks.map(([at]) => at), tickFormat: (at) => names.get(at), tickSize: 0, label: null },
      y: { ...options.y, grid: false, nice: false, domain: [low, high + 0.03 * (high - low)], clamp: true },
      marks: [
        Plot.ruleX(data.ticks, { x: "0", stroke: "var(--faint)", strokeWidth: 0.7 }),
        Plot.ruleX([1.06 * end], { stroke: "var(--faint)", strokeWidth: 0.7 }),
        Plot.ruleY([0], { stroke: "var(--faint)", strokeDasharray: "4 3" }),
        Plot.line(rows, { x: "x", y: "y", z: "band", stroke: "var(--c1)", strokeWidth: 1.3 }),
        Plot.areaX(density, { x1: 1.06 * end, x2: "x", y: "y", fill: "var(--c2)", fillOpacity: 0.3 }),
        Plot.line(density, { x: "x", y: "y", stroke: "var(--c2)", strokeWidth: 1.3 }),
        Plot.text([1.21 * end], { x: (at) => at, frameAnchor: "bottom", dy: 18, text: () => "density of states" }),
        Plot.tip(rows, Plot.pointer({ x: "x", y: "y", format: { x: false, z: false, y: ".1f" } })),
      ],
    });
  });
};

document.addEventListener("DOMContentLoaded", () => {
  for (const figure of document.querySelectorAll("[data-draw]")) {
    const data = JSON.parse(figure.querySelector("script").textContent);
    molnet.draw[figure.dataset.draw](figure.querySelector(".drawing"), data, figure);
  }
});
