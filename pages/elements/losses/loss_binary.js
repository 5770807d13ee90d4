// Binary cross-entropy and squared error of a prediction that is dragged.

const binaryMemory = new WeakMap();

export default function (component) {
  lossPart(component, binaryMemory, drawBinary);
}

function drawBinary(s) {
  const y = s.values.loss_y[0],
    p = s.values.loss_p[0],
    base = s.values.loss_base[0] === 2 ? 2 : Math.E;
  const slopes = binarySlopes(y, p, base),
    entropy = binaryCrossEntropy(y, p, base),
    squared = (p - y) ** 2;
  const label = (value) =>
    make(
      "button",
      { "aria-pressed": y === value ? "true" : "false", onclick: () => s.set({ loss_y: [value] }) },
      `y = ${value}`,
    );
  const bar = make(
    "div",
    { class: "bar" },
    make("span", { class: "bar", role: "group", "aria-label": "true label", style: "margin:0" }, label(1), label(0)),
    chooseBase(s, "loss_base"),
    make(
      "label",
      { class: "field" },
      make("span", {}, "prediction p"),
      numberInput(
        s,
        p,
        "loss_p",
        (v) => v >= 0 && v <= 1,
        "a number from 0 to 1",
        (v) => s.set({ loss_p: [v] }),
      ),
    ),
  );
  const height = base === 2 ? 6 : 4;
  const losses = plot(460, 270, [0, 1], [0, height], "loss over prediction: drag, or use the arrow keys");
  losses.curve(
    range01.map((q) => [q, binaryCrossEntropy(y, q, base)]),
    "entropy",
  );
  losses.curve(
    [0, ...range01, 1].map((q) => [q, (q - y) ** 2]),
    "squared",
  );
  const low = Math.min(entropy, height);
  losses.svg.append(
    make("line", { x1: losses.x(p), x2: losses.x(p), y1: losses.y(0), y2: losses.y(height), class: "handle" }),
    make("circle", { cx: losses.x(p), cy: losses.y(low), r: 6, class: "entropy dot" }),
    make("circle", { cx: losses.x(p), cy: losses.y(squared), r: 6, class: "squared dot" }),
  );
  // The slope is drawn as a tangent of a fixed length, so that steep and flat can be seen.
  for (const [value, slope, name] of [
    [low, slopes.crossEntropyP, "entropy"],
    [squared, slopes.squaredP, "squared"],
  ]) {
    if (!Number.isFinite(slope) || value >= height) continue;
    const reach = 0.14 / Math.hypot(1, slope * 0.25);
    losses.svg.append(
      make("line", {
        x1: losses.x(p - reach),
        x2: losses.x(p + reach),
        y1: losses.y(value - slope * reach),
        y2: losses.y(value + slope * reach),
        class: `${name} tangent`,
      }),
    );
  }
  Object.entries({
    tabindex: 0,
    role: "slider",
    "aria-valuemin": 0,
    "aria-valuemax": 1,
    "aria-valuenow": p,
    "data-field": "handle",
  }).forEach(([k, v]) => losses.svg.setAttribute(k, v));
  keepDragging(s, losses, (shareX) => s.set({ loss_p: [Number(clamp(losses.at(shareX, 0)[0], 0, 1).toFixed(3))] }));
  losses.svg.onkeydown = (event) => {
    const step = { ArrowLeft: -0.01, ArrowDown: -0.01, ArrowRight: 0.01, ArrowUp: 0.01, PageDown: -0.1, PageUp: 0.1 }[
      event.key
    ];
    if (!step) return;
    event.preventDefault();
    s.set({ loss_p: [Number(clamp(s.values.loss_p[0] + step, 0, 1).toFixed(3))] });
  };
  const most = base === 2 ? 1.5 : 1;
  const gradients = plot(460, 200, [0, 1], [0, most], "size of the gradient in z");
  gradients.curve(
    range01.map((q) => [q, Math.abs(binarySlopes(y, q, base).crossEntropyZ)]),
    "entropy",
  );
  gradients.curve(
    range01.map((q) => [q, Math.abs(binarySlopes(y, q, base).squaredZ)]),
    "squared",
  );
  gradients.svg.append(
    make("line", {
      x1: gradients.x(p),
      x2: gradients.x(p),
      y1: gradients.y(0),
      y2: gradients.y(most),
      class: "handle",
    }),
  );
  const start = clamp(p, 0.001, 0.999),
    steps = 60;
  const learned = [learnFrom(y, start, "crossEntropyZ", 1, steps), learnFrom(y, start, "squaredZ", 1, steps)];
  const learning = plot(460, 200, [0, steps], [0, 1], "prediction after each step of gradient descent");
  learning.curve(
    learned[0].map((q, i) => [i, q]),
    "entropy",
  );
  learning.curve(
    learned[1].map((q, i) => [i, q]),
    "squared",
  );
  const figure = (name, value) => predicted(s, name, value, s.redraw);
  const row = (name, ...cells) => make("tr", {}, make("th", {}, name), ...cells.map((cell) => make("td", {}, cell)));
  const table = make(
    "table",
    {},
    make(
      "tr",
      {},
      make("th"),
      make("th", { class: "entropy" }, "cross-entropy"),
      make("th", { class: "squared" }, "squared error"),
    ),
    row("loss", figure("cross-entropy", entropy), figure("squared error", squared)),
    row(
      "slope in p",
      figure("slope of cross-entropy in p", slopes.crossEntropyP),
      figure("slope of squared error in p", slopes.squaredP),
    ),
    row(
      "slope in z, p = sigmoid(z)",
      figure("slope of cross-entropy in z", slopes.crossEntropyZ),
      figure("slope of squared error in z", slopes.squaredZ),
    ),
  );
  const ratio = Math.abs(slopes.crossEntropyZ) / Math.abs(slopes.squaredZ);
  const words =
    p === y
      ? "The prediction is right: nothing pulls at z."
      : `z = ${shown(Math.log(p / (1 - p)))}. Cross-entropy pulls at z with p − ` +
        `y${base === 2 ? ", divided by ln 2" : ""}; squared error with 2 (p − y) · p (1 − p), and p (1 − p) = ` +
        `${shown(p * (1 - p))} is the sigmoid's own slope. ` +
        (Number.isFinite(ratio)
          ? `Here its pull is ${shown(Number(ratio.toFixed(1)))} times weaker.`
          : "Here it does not pull at all, though the prediction is wrong.");
  redrawn(
    s,
    bar,
    make(
      "div",
      { class: "parts" },
      make(
        "div",
        {},
        make("h4", {}, "Loss, and its slope, at the prediction p: drag the line"),
        losses.svg,
        table,
        s.predict && Object.keys(s.guesses).length < 6 ? null : make("p", { class: "quiet" }, words),
      ),
      make(
        "div",
        {},
        make("h4", {}, "How hard it pulls at z"),
        gradients.svg,
        make("h4", {}, `p after each of ${steps} steps from here (rate 1)`),
        learning.svg,
        make(
          "p",
          { class: "quiet" },
          `After ${steps} steps: `,
          make("span", { class: "entropy" }, shown(learned[0][steps])),
          " with cross-entropy, ",
          make("span", { class: "squared" }, shown(learned[1][steps])),
          " with squared error.",
        ),
      ),
    ),
    drawPairs(s, base),
  );
}

/** The exercise: a few labels with their predictions, and the mean of their losses. */
function drawPairs(s, base) {
  const flat = s.values.loss_pairs,
    pairs = [];
  for (let i = 0; i < flat.length; i += 2) pairs.push([flat[i], flat[i + 1]]);
  const put = (i, k) => (value) =>
    s.set({ loss_pairs: s.values.loss_pairs.map((old, n) => (n === 2 * i + k ? value : old)) });
  const losses = pairs.map(([y, p]) => binaryCrossEntropy(y, p, base)),
    mean = losses.reduce((a, b) => a + b, 0) / losses.length;
  const squares = pairs.map(([y, p]) => (p - y) ** 2),
    meanSquare = squares.reduce((a, b) => a + b, 0) / squares.length;
  const secret = s.predict && s.guesses["mean cross-entropy"] === undefined;
  const rows = pairs.map(([y, p], i) =>
    make(
      "tr",
      {},
      make(
        "td",
        {},
        numberInput(s, y, `pair.${i}.y`, (v) => v === 0 || v === 1, "0 or 1", put(i, 0)),
      ),
      make(
        "td",
        {},
        numberInput(s, p, `pair.${i}.p`, (v) => v >= 0 && v <= 1, "a number from 0 to 1", put(i, 1)),
      ),
      make("td", { class: "mono" }, y === 1 ? `−log ${shown(p)}` : `−log(1 − ${shown(p)})`),
      make("td", { class: "mono", "data-loss": i, "data-value": losses[i] }, secret ? "?" : shown(losses[i])),
      make("td", { class: "mono" }, secret ? "?" : shown(squares[i])),
      make(
        "td",
        {},
        pairs.length > 1
          ? make(
              "button",
              {
                "aria-label": `remove row ${i + 1}`,
                onclick: () => s.set({ loss_pairs: s.values.loss_pairs.filter((_, n) => n >> 1 !== i) }),
              },
              "×",
            )
          : null,
      ),
    ),
  );
  return make(
    "div",
    {},
    make("h4", {}, "A batch of images"),
    make(
      "table",
      {},
      make(
        "tr",
        {},
        ...["y", "p", "the rule", `loss (${base === 2 ? "bits" : "nats"})`, "(p − y)²", ""].map((t) =>
          make("th", {}, t),
        ),
      ),
      ...rows,
      make(
        "tr",
        {},
        make("td", { colspan: 3 }, "mean"),
        make("td", {}, predicted(s, "mean cross-entropy", mean, s.redraw)),
        make("td", { class: "mono" }, secret ? "?" : shown(meanSquare)),
        make("td"),
      ),
    ),
    make(
      "div",
      { class: "bar" },
      pairs.length < 8
        ? make("button", { onclick: () => s.set({ loss_pairs: [...s.values.loss_pairs, 1, 0.5] }) }, "Add a row")
        : null,
      make(
        "button",
        { onclick: () => s.set({ loss_pairs: [1, 0.1, 0, 0.2, 0, 0.7], loss_base: [2] }) },
        "Course report: its numbers, in bits",
      ),
    ),
  );
}
