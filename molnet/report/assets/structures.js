"use strict";

// Frame i of a trajectory as extended XYZ.
molnet.xyz = (data, i) => {
  const { symbols, positions, cells } = data;
  const lines = symbols.map((symbol, a) => `${symbol} ${positions[i].slice(3 * a, 3 * a + 3).join(" ")}`);
  return [symbols.length, cells ? `Lattice="${cells[i].join(" ")}"` : "", ...lines, ""].join("\n");
};

// A viewer of 3Dmol, made when its place comes near the window: a browser keeps few at a time.
// whenSeen is called each time the viewer comes into sight or leaves it.
molnet.viewer = (place, whenReady, whenSeen = () => {}) => {
  const box = molnet.element("div", { className: "viewer" });
  // The wheel turns the page, not the structure; with Ctrl it zooms.
  const outer = molnet.element("div", {}, box);
  outer.addEventListener("wheel", (event) => event.ctrlKey || event.stopPropagation(), { capture: true });
  place.append(outer);
  let viewer = null;
  new IntersectionObserver((entries) => {
    const seen = entries.at(-1).isIntersecting;
    if (viewer) whenSeen(seen);
    if (viewer || !seen || box.textContent) return;
    viewer = $3Dmol.createViewer(box, { backgroundAlpha: 0, disableFog: true });
    if (!viewer) {
      box.append("This browser has no WebGL, which structures in 3D need.");
      return;
    }
    new ResizeObserver(() => viewer.resize()).observe(box);
    whenReady(viewer);
  }, { rootMargin: "200px" }).observe(box);
};

molnet.style = (colour) => ({
  stick: { radius: 0.12, ...colour },
  sphere: { scale: 0.26, ...colour },
});

// Draws all frames of data; the view is fitted to the first.
molnet.show = (viewer, data, colour = {}, label = null) => {
  viewer.stopAnimate();
  viewer.removeAllModels();
  viewer.removeAllShapes();
  viewer.removeAllLabels();
  const text = data.positions.map((_, i) => molnet.xyz(data, i)).join("");
  const model = data.positions.length > 1 ? viewer.addModelsAsFrames(text, "xyz") : viewer.addModel(text, "xyz");
  viewer.setStyle({}, molnet.style(colour));
  if (data.cells) viewer.addUnitCell(model, { box: { color: "#8896a5" }, alabel: "a", blabel: "b", clabel: "c" });
  viewer.setHoverDuration(80);
  viewer.setHoverable({}, true,
    (atom) => {
      atom.tag ??= viewer.addLabel(label ? label(atom) : `${atom.elem}${atom.serial}`, {
        position: atom, fontSize: 13, fontColor: "white", backgroundColor: "#1c2733", backgroundOpacity: 0.85, inFront: true });
    },
    (atom) => {
      if (atom.tag) viewer.removeLabel(atom.tag);
      delete atom.tag;
    });
  viewer.zoomTo();
  // 3Dmol leaves room for 5 Å around the smallest molecules.
  const size = d3.max([0, 1, 2], (axis) => d3.max(data.positions[0], (value, i) => (i % 3 === axis ? value : -Infinity))
    - d3.min(data.positions[0], (value, i) => (i % 3 === axis ? value : Infinity)));
  if (!data.cells) viewer.zoom(Math.min(2, Math.max(1, 7.5 / (size + 2))));
  viewer.render();
  return model;
};

// Rows of the table beside a viewer; a click or Enter chooses one. Returns the function to choose.
molnet.choices = (figure, chosen) => {
  const rows = [...figure.querySelectorAll(".choice tbody tr")];
  const choose = (number) => {
    rows.forEach((row, i) => row.classList.toggle("chosen", i === number));
    chosen(number);
  };
  rows.forEach((row, i) => {
    row.addEventListener("click", () => choose(i));
    row.addEventListener("keydown", (event) => event.key === "Enter" && choose(i));
  });
  return choose;
};

molnet.draw.structures = (place, data, figure) => {
  let number = 0;
  let viewer = null;
  const scale = molnet.element("div", { className: "under" });
  const show = () => {
    const { values, ...geometry } = data.structures[number];
    const most = values ? d3.max(values) || 1 : 0;
    const colour = values
      ? { colorfunc: (atom) => d3.interpolateYlOrRd((values[atom.serial] ?? 0) / most) } : {};
    const format = d3.format(".4~g");
    const label = values ? (atom) => `${atom.elem}${atom.serial}: ${format(values[atom.serial])}` : null;
    molnet.show(viewer, geometry, colour, label);
    if (values) {
      scale.replaceChildren("0", molnet.element("span", { className: "scale" }), `${format(most)} ${data.ofAtoms}`);
    }
  };
  const choose = molnet.choices(figure, (chosen) => {
    number = chosen;
    if (viewer) show();
  });
  molnet.viewer(place, (made) => {
    viewer = made;
    show();
  });
  if (data.structures.some((structure) => structure.values)) place.append(scale);
  choose(0);
};

molnet.draw.trajectory = (place, data) => {
  const left = molnet.element("div");
  const right = molnet.element("div");
  place.append(left, right);
  const frames = data.positions.length;
  const format = d3.format(".6~g");
  let number = 0;
  let viewer = null;
  let timer = null;
  const slider = molnet.element("input", { type: "range", min: 0, max: frames - 1, value: 0, ariaLabel: data.xLabel });
  const play = molnet.element("button", { type: "button", textContent: "▶", ariaLabel: "play" });
  const where = molnet.element("output");
  const marks = [];
  const go = (frame) => {
    number = frame;
    slider.value = frame;
    where.textContent = `${data.xLabel}: ${format(data.at[frame])}`;
    marks.forEach((mark) => mark(data.at[frame]));
    if (viewer) viewer.setFrame(frame).then(() => viewer.render());
  };
  const stop = () => {
    clearInterval(timer);
    timer = null;
    play.textContent = "▶";
  };
  play.addEventListener("click", () => {
    if (timer) return stop();
    play.textContent = "⏸";
    timer = setInterval(() => go((number + 1) % frames), 80);
    return null;
  });
  slider.addEventListener("input", () => {
    stop();
    go(Number(slider.value));
  });
  molnet.viewer(left, (made) => {
    viewer = made;
    molnet.show(viewer, data);
    go(number);
  });
  left.append(molnet.element("div", { className: "under" }, play, slider, where));

  const nearest = (x) => d3.leastIndex(data.at, (a, b) => Math.abs(a - x) - Math.abs(b - x));
  for (const [yLabel, values] of Object.entries(data.values)) {
    const chart = molnet.element("div");
    right.append(chart);
    const rows = molnet.rows(data.x, values);
    // Where the frames are, if there are few.
    const dots = rows.length <= 60 ? rows : data.at.length > 60 ? [] : data.at.map((at) =>
      rows[d3.leastIndex(rows, (a, b) => Math.abs(a.x - at) - Math.abs(b.x - at))]);
    molnet.fitted(chart, (width) => {
      const options = molnet.common(width, { xLabel: data.xLabel, yLabel });
      molnet.integers(options, data.x);
      const plot = Plot.plot({
        ...options,
        height: 190,
        marginLeft: 66,
        y: { ...options.y, ticks: 5, tickFormat: "~r" },
        marks: [
          Plot.lineY(rows, { x: "x", y: "y", stroke: "var(--c1)", strokeWidth: 1.5 }),
          Plot.dot(dots, { x: "x", y: "y", fill: "var(--c1)", r: 2.5 }),
          Plot.tip(rows, Plot.pointerX({ x: "x", y: "y" })),
        ],
      });
      const x = plot.scale("x");
      const line = d3.select(plot).append("line")
        .attr("stroke", "var(--c2)").attr("stroke-width", 1.5).attr("y1", 30).attr("y2", 190 - 42);
      const mark = (at) => line.attr("x1", x.apply(at)).attr("x2", x.apply(at));
      mark(data.at[number]);
      chart.mark = mark;
      plot.style.cursor = "pointer";
      plot.addEventListener("click", (event) => {
        stop();
        go(nearest(x.invert(d3.pointer(event, plot)[0])));
      });
      return plot;
    });
    marks.push((at) => chart.mark?.(at));
  }
  go(0);
};

molnet.draw.modes = (place, data, figure) => {
  const top = molnet.element("div");
  const under = molnet.element("div", { className: "under" });
  const chart = molnet.element("div");
  place.append(top, under, chart);
  const most = data.intensities ? d3.max(data.intensities) || 1 : 1;
  const sticks = Array.from(data.frequencies, (frequency, mode) =>
    ({ mode, frequency, height: data.intensities ? data.intensities[mode] : 1 }));
  const curve = molnet.rows(data.grid, data.spectrum);
  let number = 0;
  let viewer = null;
  let redraw = () => {};
  const move = () => {
    const still = data.positions[0];
    const count = 20;
    const shape = data.modes[number];
    const period = d3.range(count).map((k) =>
      still.map((value, i) => value + 0.35 * Math.sin((2 * Math.PI * k) / count) * shape[i]));
    const view = viewer.getView();
    const first = !viewer.started;
    molnet.show(viewer, { ...data, positions: period, cells: data.cells && Array(count).fill(data.cells[0]) });
    if (!first) viewer.setView(view);
    viewer.started = true;
    viewer.animate({ loop: "forward", interval: 50, reps: 0 });
  };
  const choose = molnet.choices(figure, (chosen) => {
    number = chosen;
    const { frequency, height } = sticks[chosen];
    under.textContent = `mode ${chosen + 1}: ${Math.abs(frequency).toFixed(1)}${frequency < 0 ? "i" : ""} cm⁻¹`
      + (data.intensities ? `, ${height.toFixed(1)} km/mol` : "");
    redraw();
    if (viewer) move();
  });
  redraw = molnet.fitted(chart, (width) => {
    const plot = Plot.plot({
      ...molnet.common(width, { xLabel: "wavenumber (cm⁻¹)", yLabel: data.intensities ? "km/mol" : "" }),
      height: 220,
      marks: [
        Plot.areaY(curve, { x: "x", y: "y", fill: "var(--c1)", fillOpacity: 0.18 }),
        Plot.lineY(curve, { x: "x", y: "y", stroke: "var(--c1)", strokeWidth: 1 }),
        Plot.ruleX(sticks, {
          x: "frequency", y1: 0, y2: (s) => Math.max(s.height, 0.02 * most),
          stroke: (s) => (s.mode === number ? "var(--c2)" : "var(--text)"), strokeWidth: (s) => (s.mode === number ? 3 : 1.5),
        }),
        Plot.tip(sticks, Plot.pointerX({ x: "frequency", y: "height", channels: { mode: { value: (s) => s.mode + 1 } }, format: { x: ".1f", y: data.intensities ? ".1f" : false } })),
      ],
      color: { type: "identity" },
    });
    const x = plot.scale("x");
    plot.style.cursor = "pointer";
    plot.addEventListener("click", (event) => {
      const at = x.invert(d3.pointer(event, plot)[0]);
      choose(d3.leastIndex(sticks, (a, b) => Math.abs(a.frequency - at) - Math.abs(b.frequency - at)));
    });
    return plot;
  });
  molnet.viewer(top, (made) => {
    viewer = made;
    move();
  }, (seen) => (seen ? move() : viewer.stopAnimate()));
  choose(0);
};
