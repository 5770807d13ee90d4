// A picture that grew step by step, scrubbed back and forth beside its curve. All frames are here already.

const memory = new WeakMap();

export default function ({ parentElement, data }) {
  let s = memory.get(parentElement);
  if (!s) {
    s = { root: parentElement.querySelector(".root"), timer: null };
    memory.set(parentElement, s);
    build(s);
  }
  if (s.data === data) return;
  s.data = data;
  const before = s.id;
  (s.urls ?? []).forEach((url) => URL.revokeObjectURL(url));
  Object.assign(s, read(data));
  stop(s);
  // The same picture drawn anew (another theme, other words) stays where it was scrubbed to.
  s.at = before === s.id ? Math.min(s.at, s.frames.length - 1) : s.frames.length - 1;
  prepare(s);
  draw(s);
}

/** Four bytes of length, the description, then one image file after the other. */
function read(data) {
  const { head, body } = unpacked(data);
  let at = 0;
  const urls = head.sizes.map((size) => {
    const url = URL.createObjectURL(new Blob([body.slice(at, at + size)], { type: head.type }));
    at += size;
    return url;
  });
  return { ...head, urls };
}

function build(s) {
  s.picture = make("img", { class: "picture", alt: "", draggable: "false" });
  s.step = make("div", { class: "quiet mono" });
  s.slider = make("input", { type: "range", min: 0, step: 1, "aria-label": "step of the picture" });
  s.slider.oninput = () => {
    stop(s);
    s.at = Number(s.slider.value);
    draw(s);
  };
  s.play = make("button", { type: "button", "aria-label": "play the steps", title: "Play the steps" }, "▶");
  s.play.onclick = () => (s.timer ? stop(s) : start(s));
  s.chart = make("svg", { class: "chart", role: "img" });
  draggable(s.chart, (x) => {
    stop(s);
    goTo(s, x);
  });
  s.figure = make("div", { class: "figure mono" });
  s.words = make("div", { class: "words" });
  s.mean = make("div", { class: "quiet" });
  s.real = make("img", { class: "picture", alt: "" });
  s.realWords = make("div", { class: "quiet" });
  s.realTitle = make("h4", {}, "The best real image");
  s.title = make("h4", {});
  const bar = make("div", { class: "bar scrub" }, s.play, s.slider, s.step);
  s.realPane = make("div", { class: "pane" }, s.realTitle, s.real, s.realWords);
  s.root.replaceChildren(
    make(
      "div",
      { class: "film" },
      make("div", { class: "pane" }, s.title, bar, s.picture),
      make("div", { class: "pane" }, make("h4", {}, "How strongly it answers"), s.figure, s.words, s.mean, s.chart),
      s.realPane,
    ),
  );
}

function start(s) {
  if (s.at >= s.frames.length - 1) s.at = 0;
  s.play.textContent = "❚❚";
  s.timer = setInterval(() => {
    if (s.at >= s.frames.length - 1) return stop(s);
    s.at += 1;
    draw(s);
  }, 120);
  draw(s);
}

function stop(s) {
  clearInterval(s.timer);
  s.timer = null;
  s.play.textContent = "▶";
}

const WIDE = 360,
  HIGH = 220,
  LEFT = 52,
  BOTTOM = 28,
  TOP = 12,
  RIGHT = 10;

function axes(s) {
  const values = [s.best, ...s.frames.map((frame) => frame.objective)],
    last = s.frames.at(-1).step || 1;
  const low = Math.min(0, ...values),
    high = Math.max(...values),
    span = high - low || 1;
  return {
    x: (step) => LEFT + ((WIDE - LEFT - RIGHT) * step) / last,
    y: (value) => TOP + (HIGH - TOP - BOTTOM) * (1 - (value - low) / (1.05 * span)),
    low,
    high,
    last,
  };
}

function goTo(s, share) {
  const step = ((share * WIDE - LEFT) / (WIDE - LEFT - RIGHT)) * axes(s).last;
  let best = 0;
  s.frames.forEach((frame, i) => {
    if (Math.abs(frame.step - step) < Math.abs(s.frames[best].step - step)) best = i;
  });
  s.at = best;
  draw(s);
}

function prepare(s) {
  s.title.textContent = s.unit;
  s.slider.max = s.frames.length - 1;
  for (const image of [s.picture, s.real]) image.classList.toggle("pixelated", s.width <= 128);
  s.realWords.textContent = s.best_words;
  s.real.src = s.urls.at(-1);
  s.real.alt = s.best_words;
  const a = axes(s),
    line = s.frames.map((frame) => `${a.x(frame.step)},${a.y(frame.objective)}`).join(" ");
  const text = (x, y, anchor, words) => make("text", { x, y, "text-anchor": anchor }, words);
  s.dot = make("circle", { r: 5, class: "dot" });
  const parts = [
    make("line", { x1: LEFT, x2: WIDE - RIGHT, y1: a.y(a.low), y2: a.y(a.low), class: "axis" }),
    text(LEFT - 6, a.y(a.high) + 4, "end", short(a.high)),
    text(LEFT - 6, a.y(a.low) + 4, "end", short(a.low)),
    text(LEFT, HIGH - 8, "start", "step 0"),
    text(WIDE - RIGHT, HIGH - 8, "end", String(a.last)),
  ];
  const y = a.y(s.best);
  parts.push(
    make("line", { x1: LEFT, x2: WIDE - RIGHT, y1: y, y2: y, class: "best" }),
    text(LEFT + 4, y > TOP + 16 ? y - 5 : y + 14, "start", `best real image ${short(s.best)}`),
  );
  s.chart.setAttribute("viewBox", `0 0 ${WIDE} ${HIGH}`);
  s.chart.setAttribute(
    "aria-label",
    `${s.what} from ${short(s.frames[0].objective)} to ${short(s.frames.at(-1).objective)}`,
  );
  s.chart.replaceChildren(...parts, make("polyline", { points: line, class: "curve" }), s.dot);
}

/** As `core.feature_visualization.real_images.times_as_strong` says it. */
function times(reached, best, among) {
  if (reached > 0 && best > 0)
    return `${(reached / best).toFixed(reached < 10 * best ? 1 : 0)} times the best of ${among}`;
  return `${reached < best ? "−" : "+"}${short(Math.abs(reached - best))} against the best of ${among}`;
}

const short = (value) => shown(Number(value.toPrecision(3)));

function draw(s) {
  const frame = s.frames[s.at],
    a = axes(s);
  s.picture.src = s.urls[s.at];
  s.picture.alt = `${s.unit} after ${frame.step} steps`;
  s.slider.value = s.at;
  s.step.textContent = `step ${frame.step} of ${s.planned}`;
  s.figure.textContent = short(frame.objective);
  s.words.textContent = times(frame.objective, s.best, s.among);
  s.mean.textContent = s.largest
    ? `${s.what}, which is climbed. The largest value on it is ${short(frame.activation)}: ` +
      `${times(frame.activation, ...s.largest)} (${short(s.largest[0])}).`
    : s.what;
  s.dot.setAttribute("cx", a.x(frame.step));
  s.dot.setAttribute("cy", a.y(frame.objective));
  Object.assign(s.root.dataset, {
    step: frame.step,
    objective: frame.objective,
    activation: frame.activation,
    frames: s.frames.length,
  });
}
