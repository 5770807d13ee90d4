// One class against the rest: a threshold that is dragged, the 2×2 matrix, ROC and precision–recall curve.
// Everything is counted here, from the probability of the class for every image.

const labs = new WeakMap();
const OUTCOMES = { tn: [0, 0], fp: [0, 1], fn: [1, 0], tp: [1, 1] };
const WORDS = { tn: "true negatives", fp: "false positives", fn: "false negatives", tp: "true positives" };

export default function ({ parentElement, data, setStateValue }) {
  let s = labs.get(parentElement);
  if (!s) labs.set(parentElement, (s = { root: parentElement.querySelector(".root"), question: null }));
  const { head, body } = unpacked(data),
    bytes = body.slice().buffer;
  const scores = new Float64Array(bytes.slice(0, 8 * head.count)),
    positive = new Uint8Array(bytes, 8 * head.count);
  s.send = settled(
    () => setStateValue("at", { threshold: s.threshold, outcome: s.outcome, question: s.question }),
    300,
  );
  if (s.question !== head.question) {
    Object.assign(s, {
      question: head.question,
      threshold: head.threshold,
      outcome: head.outcome,
      name: head.name,
      head,
    });
    sort(s, scores, positive);
    build(s);
  }
  update(s);
}

/** Scores of both sides in falling order, and the curves. */
function sort(s, scores, positive) {
  const order = Array.from(scores.keys()).sort((a, b) => scores[b] - scores[a]);
  s.curve = [{ threshold: Infinity, tp: 0, fp: 0 }];
  let tp = 0,
    fp = 0;
  order.forEach((image, place) => {
    if (positive[image]) tp += 1;
    else fp += 1;
    const next = order[place + 1];
    if (next === undefined || scores[next] !== scores[image]) s.curve.push({ threshold: scores[image], tp, fp });
  });
  s.positives = tp;
  s.negatives = fp;
}

function at(s, threshold) {
  let low = 0,
    high = s.curve.length - 1; // the last point whose threshold is at least this
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if (s.curve[middle].threshold >= threshold) low = middle;
    else high = middle - 1;
  }
  return s.curve[low];
}

const ratio = (a, b) => (b ? a / b : null);
const percent = (x) => (x === null ? "–" : `${(100 * x).toFixed(1)}%`);

function build(s) {
  s.slider = make("input", {
    type: "range",
    min: "0",
    max: "1",
    step: "0.005",
    value: s.threshold,
    "aria-label": "Threshold",
    oninput: () => set(s, Number(s.slider.value)),
  });
  s.shown = make("strong", { class: "mono" });
  s.cells = {};
  const cell = (outcome) => {
    const button = make(
      "button",
      {
        type: "button",
        "data-outcome": outcome,
        title: `Show these images: ${WORDS[outcome]}`,
        onclick: () => {
          s.outcome = outcome;
          update(s);
          s.send();
        },
      },
      make("b", {}, ""),
      make("small", {}, WORDS[outcome]),
    );
    s.cells[outcome] = button;
    return button;
  };
  const head = (text) => make("span", { class: "head" }, text);
  s.figures = make("dl", { class: "figures" });
  const quick = (text, value) => make("button", { type: "button", onclick: () => set(s, value) }, text);
  const left = make(
    "div",
    { class: "left" },
    make(
      "label",
      { class: "slider" },
      make("span", {}, `Called “${s.name}” where its probability is at least `, s.shown),
      s.slider,
    ),
    make("div", { class: "bar" }, quick("0.5", 0.5), quick(`best F1: ${s.head.best.toFixed(3)}`, s.head.best)),
    make(
      "div",
      { class: "two" },
      head(""),
      head("predicted: the rest"),
      head(`predicted: ${s.name}`),
      head("true: the rest"),
      cell("tn"),
      cell("fp"),
      head(`true: ${s.name}`),
      cell("fn"),
      cell("tp"),
    ),
    s.figures,
  );
  s.roc = chart(
    s,
    "False-positive rate",
    "Recall (true-positive rate)",
    `ROC, area ${s.head.auc === null ? "–" : s.head.auc.toFixed(4)}`,
    s.curve.map((p) => [p.fp / Math.max(1, s.negatives), p.tp / Math.max(1, s.positives)]),
    [
      [0, 0],
      [1, 1],
    ],
  );
  const base = s.positives / Math.max(1, s.positives + s.negatives);
  s.pr = chart(
    s,
    "Recall",
    "Precision",
    `Precision and recall, average precision ${s.head.ap === null ? "–" : s.head.ap.toFixed(4)}`,
    s.curve.map((p) => [p.tp / Math.max(1, s.positives), p.tp + p.fp ? p.tp / (p.tp + p.fp) : 1]),
    [
      [0, base],
      [1, base],
    ],
  );
  s.root.replaceChildren(make("div", { class: "lab" }, left, s.roc.svg, s.pr.svg));
}

const SIDE = 260,
  LEFT = 40,
  TOP = 22;

function chart(s, xTitle, yTitle, title, points, chance) {
  const x = (v) => LEFT + v * SIDE,
    y = (v) => TOP + (1 - v) * SIDE;
  const path = (list) => list.map(([a, b], i) => `${i ? "L" : "M"}${x(a).toFixed(1)} ${y(b).toFixed(1)}`).join("");
  // At most some hundred points are drawn; the point that moves is always exact.
  const step = Math.max(1, Math.floor(points.length / 800));
  const drawn = points.filter((_, i) => i % step === 0 || i === points.length - 1);
  const svg = make("svg", {
    viewBox: `0 0 ${LEFT + SIDE + 10} ${TOP + SIDE + 34}`,
    role: "img",
    "aria-label": title,
  });
  const dot = make("circle", { r: 6 });
  svg.append(
    make("text", { x: LEFT, y: 13 }, title),
    make("rect", { class: "axis", x: LEFT, y: TOP, width: SIDE, height: SIDE }),
    make("path", { class: "chance", d: path(chance) }),
    make("path", { class: "curve", d: path(drawn) }),
    dot,
    make("text", { x: LEFT + SIDE / 2, y: TOP + SIDE + 28, "text-anchor": "middle" }, `${xTitle} →`),
    make(
      "text",
      { x: 0, y: 0, transform: `translate(11 ${TOP + SIDE / 2}) rotate(-90)`, "text-anchor": "middle" },
      `${yTitle} →`,
    ),
  );
  for (const v of [0, 0.5, 1]) {
    svg.append(
      make("text", { x: x(v), y: TOP + SIDE + 14, "text-anchor": "middle" }, String(v)),
      make("text", { x: LEFT - 5, y: y(v) + 4, "text-anchor": "end" }, String(v)),
    );
  }
  draggable(svg, (across, down) => {
    const box = svg.viewBox.baseVal,
      a = (across * box.width - LEFT) / SIDE,
      b = 1 - (down * box.height - TOP) / SIDE;
    let best = 1,
      least = Infinity;
    points.forEach(([p, q], i) => {
      const far = (p - a) ** 2 + (q - b) ** 2;
      if (i > 0 && far < least) [best, least] = [i, far];
    });
    set(s, s.curve[best].threshold);
  });
  return {
    svg,
    place: (a, b) => {
      dot.setAttribute("cx", x(a));
      dot.setAttribute("cy", y(b));
    },
  };
}

function set(s, threshold) {
  s.threshold = Math.min(1, Math.max(0, threshold));
  update(s);
  s.send();
}

function update(s) {
  const { tp, fp } = at(s, s.threshold);
  const counts = { tp, fp, fn: s.positives - tp, tn: s.negatives - fp };
  for (const outcome of Object.keys(OUTCOMES)) {
    s.cells[outcome].firstChild.textContent = counts[outcome].toLocaleString("en");
    s.cells[outcome].setAttribute("aria-pressed", s.outcome === outcome ? "true" : "false");
  }
  const precision = ratio(tp, tp + fp),
    recall = ratio(tp, s.positives),
    f1 = ratio(2 * tp, 2 * tp + fp + counts.fn);
  const figures = {
    Precision: percent(precision),
    Recall: percent(recall),
    F1: percent(f1),
    "False-positive rate": percent(ratio(fp, s.negatives)),
    Accuracy: percent(ratio(tp + counts.tn, s.positives + s.negatives)),
    "Support (images of the class)": s.positives.toLocaleString("en"),
  };
  s.figures.replaceChildren(
    ...Object.entries(figures).flatMap(([name, value]) => [
      make("dt", {}, name),
      make("dd", { "data-figure": name }, value),
    ]),
  );
  s.shown.textContent = s.threshold.toFixed(3);
  if (Number(s.slider.value) !== s.threshold) s.slider.value = s.threshold;
  s.roc.place(fp / Math.max(1, s.negatives), recall ?? 0);
  s.pr.place(recall ?? 0, precision ?? 1);
}
