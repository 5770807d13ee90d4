// One step of gradient descent with L2, on a bowl whose weights and lowest point are dragged.

const stepMemory = new WeakMap();

export default function (component) {
  lossPart(component, stepMemory, drawStep);
}

const CURVATURE = [1, 3];

function gradientAt(w, lowest) {
  return w.map((v, i) => CURVATURE[i] * (v - lowest[i]));
}

function drawStep(s) {
  const w = s.values.loss_w,
    lowest = s.values.loss_lowest,
    rate = s.values.loss_rate[0],
    decay = s.values.loss_decay[0],
    steps = s.values.loss_steps[0];
  const g = gradientAt(w, lowest),
    next = w.map((v, i) => v - rate * (g[i] + decay * v));
  const secret = s.predict && Object.keys(s.guesses).length < 2;
  const path = [w];
  for (let i = 0; i < steps; i++) {
    const at = path[i],
      slope = gradientAt(at, lowest);
    path.push(at.map((v, k) => v - rate * (slope[k] + decay * v)));
  }
  const chart = plot(470, 400, [-4, 4], [-3.4, 3.4], "the loss over two weights: drag the points");
  for (const level of [0.1, 0.4, 1, 2, 4, 7, 11, 16]) {
    const points = Array.from({ length: 73 }, (_, i) => [
      Math.cos((i * Math.PI) / 36),
      Math.sin((i * Math.PI) / 36),
    ]).map(([c, d]) => [
      lowest[0] + c * Math.sqrt((2 * level) / CURVATURE[0]),
      lowest[1] + d * Math.sqrt((2 * level) / CURVATURE[1]),
    ]);
    chart.svg.append(
      make("polyline", {
        class: "contour",
        fill: "none",
        points: points.map(([a, b]) => `${chart.x(a).toFixed(1)},${chart.y(b).toFixed(1)}`).join(" "),
      }),
    );
  }
  const arrow = (from, to, name) =>
    chart.svg.append(
      make("line", {
        x1: chart.x(from[0]),
        y1: chart.y(from[1]),
        x2: chart.x(to[0]),
        y2: chart.y(to[1]),
        class: `arrow ${name}`,
      }),
    );
  const dot = (at, name, r = 6) =>
    chart.svg.append(
      make("circle", { cx: chart.x(clamp(at[0], -9, 9)), cy: chart.y(clamp(at[1], -9, 9)), r, class: name }),
    );
  // What is drawn of the step would give the answer away.
  if (!secret) {
    chart.svg.append(
      make("polyline", {
        class: "path",
        fill: "none",
        points: path
          .filter((v) => v.every((n) => Math.abs(n) < 50))
          .map(([a, b]) => `${chart.x(a).toFixed(1)},${chart.y(b).toFixed(1)}`)
          .join(" "),
      }),
    );
    const afterGradient = w.map((v, i) => v - rate * g[i]);
    arrow(w, afterGradient, "entropy");
    arrow(afterGradient, next, "squared");
    dot(
      lowest.map((a, i) => (CURVATURE[i] * a) / (CURVATURE[i] + decay)),
      "compromise",
      5,
    );
    dot(next, "squared dot", 5);
  }
  dot([0, 0], "origin", 4);
  dot(lowest, "lowest");
  dot(w, "handle dot", 8);
  Object.entries({ tabindex: 0, role: "application", "data-field": "bowl" }).forEach(([k, v]) =>
    chart.svg.setAttribute(k, v),
  );
  let held = null;
  keepDragging(s, chart, (shareX, shareY) => {
    const at = chart.at(shareX, shareY).map((v, i) => Number(clamp(v, [-4, -3.4][i], [4, 3.4][i]).toFixed(2)));
    const far = (point) => Math.hypot(point[0] - at[0], point[1] - at[1]);
    held ??= far(lowest) < far(w) && far(lowest) < 0.6 ? "loss_lowest" : "loss_w";
    s.set({ [held]: at });
  });
  chart.svg.onkeydown = (event) => {
    const move = { ArrowLeft: [-0.1, 0], ArrowRight: [0.1, 0], ArrowUp: [0, 0.1], ArrowDown: [0, -0.1] }[event.key];
    if (!move) return;
    event.preventDefault();
    const moved = event.shiftKey ? "loss_lowest" : "loss_w";
    s.set({ [moved]: s.values[moved].map((v, i) => Number(clamp(v + move[i], -4, 4).toFixed(2))) });
  };
  const range = (label, name, value, bounds) =>
    labeled(
      label,
      value,
      rangeInput(s, name, label, value, bounds, (v) => s.set({ [name]: [v] })),
    );
  const bar = make(
    "div",
    { class: "bar" },
    range("learning rate", "loss_rate", rate, [0, 1, 0.01]),
    range("weight decay λ", "loss_decay", decay, [0, 2, 0.05]),
    range("steps drawn", "loss_steps", steps, [1, 60, 1]),
  );
  const put = (name, i) => (v) => s.set({ [name]: s.values[name].map((old, k) => (k === i ? v : old)) });
  const number = (name, i) =>
    numberInput(s, s.values[name][i], `${name}.${i}`, (v) => Math.abs(v) <= 4, "a number from −4 to 4", put(name, i));
  const figure = (i) => predicted(s, `new w${i + 1}`, next[i], s.redraw);
  const table = make(
    "table",
    {},
    make("tr", {}, ...["", "w1", "w2"].map((t) => make("th", {}, t))),
    make("tr", {}, make("th", {}, "w"), make("td", {}, number("loss_w", 0)), make("td", {}, number("loss_w", 1))),
    make(
      "tr",
      {},
      make("th", {}, "lowest point a"),
      make("td", {}, number("loss_lowest", 0)),
      make("td", {}, number("loss_lowest", 1)),
    ),
    make(
      "tr",
      {},
      make("th", { class: "entropy" }, "gradient h (w − a)"),
      ...g.map((v) => make("td", { class: "mono" }, shown(v))),
    ),
    make(
      "tr",
      {},
      make("th", { class: "squared" }, "decay λ w"),
      ...w.map((v) => make("td", { class: "mono" }, shown(decay * v))),
    ),
    make("tr", {}, make("th", {}, "new w"), make("td", {}, figure(0)), make("td", {}, figure(1))),
  );
  const lines = w.map((v, i) =>
    make(
      "div",
      { class: "mono" },
      `w${i + 1} ← ${shown(v)} − ${shown(rate)} · (${bracket(g[i])} + ${shown(decay)} · ${bracket(v)}) = ` +
        `${secret ? "?" : shown(next[i])}`,
    ),
  );
  const wild = path[path.length - 1].some((v) => Math.abs(v) > 10);
  redrawn(
    s,
    bar,
    make(
      "div",
      { class: "parts" },
      make("div", {}, make("h4", {}, "Drag the weights (dot) or the lowest point (ring)"), chart.svg),
      make(
        "div",
        {},
        table,
        ...lines,
        make(
          "p",
          { class: "quiet" },
          wild
            ? "The steps are longer than the bowl is wide: they fly out. A smaller learning rate brings them back."
            : decay
              ? "L2 pulls every weight towards 0 in proportion to its size, so the steps end where both pulls are " +
                "equal (dotted ring), not at the lowest point: the flatter direction gives way more."
              : "Without weight decay the steps end at the lowest point.",
        ),
      ),
    ),
  );
}
