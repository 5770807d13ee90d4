// Losses in the browser, which the tests compare with NumPy; and the frame that each part is drawn in.

const sigmoid = (z) => (z >= 0 ? 1 / (1 + Math.exp(-z)) : Math.exp(z) / (1 + Math.exp(z)));
const logTo = (x, base) => (base === 2 ? Math.log2(x) : Math.log(x));

function binaryCrossEntropy(y, p, base) {
  return (y > 0 ? -y * logTo(p, base) : 0) - (y < 1 ? (1 - y) * logTo(1 - p, base) : 0) + 0;
}

function binarySlopes(y, p, base) {
  const unit = base === 2 ? Math.LN2 : 1;
  return {
    crossEntropyP: p === y ? (1 - 2 * y) / unit : (p - y) / (p * (1 - p)) / unit,
    crossEntropyZ: (p - y) / unit,
    squaredP: 2 * (p - y),
    squaredZ: 2 * (p - y) * p * (1 - p),
  };
}

/** The prediction after every step of gradient descent on z, in nats. */
function learnFrom(y, start, slope, rate, steps) {
  let z = Math.log(start / (1 - start));
  const found = [start];
  for (let i = 0; i < steps; i++) {
    z -= rate * binarySlopes(y, found[i], Math.E)[slope];
    found.push(sigmoid(z));
  }
  return found;
}

const crossEntropy = (p, q, base) => p.reduce((sum, value, i) => sum - (value > 0 ? value * logTo(q[i], base) : 0), 0) + 0;

function softmaxShifted(z) {
  const most = Math.max(...z), powers = z.map((v) => Math.exp(v - most)), total = powers.reduce((a, b) => a + b, 0);
  return powers.map((v) => v / total);
}

/** One part of the loss lab: keeps `s.values` (lists of numbers by parameter), draws, and reports to the address. */
function lossPart(component, memory, draw) {
  const { parentElement, data, setStateValue } = component;
  let s = memory.get(parentElement);
  if (!s) {
    s = { root: parentElement.querySelector(".root"), guesses: {} };
    s.report = settled(() => s.send("values", s.values), 300);
    holdWhilePressed(s, parentElement);
    memory.set(parentElement, s);
  }
  s.send = setStateValue;
  s.set = (changes) => {
    Object.assign(s.values, changes);
    s.guesses = {};
    s.redraw();
    s.report();
  };
  // At most one drawing a frame, however fast something is dragged. What is drawn may therefore be older than
  // `s.values`: whatever handles a key or a click reads what stands there now.
  s.redraw = () => {
    s.waiting ??= requestAnimationFrame(() => {
      s.waiting = null;
      s.late = s.pressed && !s.dragging;
      if (!s.late) draw(s);
    });
  };
  if (s.revision === data.revision && s.predict === data.predict) return;
  if (s.revision !== data.revision) s.values = structuredClone(data.values);
  Object.assign(s, { revision: data.revision, predict: data.predict, guesses: {}, root: parentElement.querySelector(".root") });
  draw(s);
}

/** A button that is made anew between pressing and letting go is never clicked: such a drawing waits for the click. */
function holdWhilePressed(s, element) {
  element.addEventListener("pointerdown", () => {
    s.pressed = true;
    const free = () => {
      s.pressed = false;
      for (const name of ["pointerup", "pointercancel"]) window.removeEventListener(name, free);
      if (s.late) s.redraw();
    };
    for (const name of ["pointerup", "pointercancel"]) window.addEventListener(name, free);
  }, { capture: true });
}

/** Put the new drawing in the place of the old one, and leave the keyboard where it is: the focus, the text that is being typed, and what is selected in it. */
function redrawn(s, ...children) {
  const stops = () => [...s.root.querySelectorAll("button, input, [tabindex]")];
  const old = s.root.getRootNode().activeElement, place = old ? stops().indexOf(old) : -1, field = old?.dataset.field;
  const typing = old?.type === "text";
  const typed = typing && ![old.dataset.shown, old.dataset.taken].includes(old.value) ? old.value : null;
  const selected = typing ? [old.selectionStart, old.selectionEnd] : null;
  // A field that is taken away fires a change, and what stands in it may be half a number.
  if (typing) old.onchange = old.onblur = null;
  s.root.replaceChildren(...children);
  if (place < 0) return;
  let next = field ? s.root.querySelector(`[data-field="${CSS.escape(field)}"]`) : stops()[place];
  if (!next && field.startsWith("guess.")) next = s.root.querySelector('[data-field^="guess."]');
  next?.focus({ preventScroll: true });
  if (!typing || next?.dataset.field !== field) return;
  if (typed !== null) next.value = typed;
  next.setSelectionRange(...selected);
}

/** A drawing area in its own units, with axes of the range [x0, x1] × [y0, y1]. */
function plot(width, height, [x0, x1], [y0, y1], label) {
  const left = 38, right = 10, top = 10, bottom = 26;
  const x = (v) => left + ((v - x0) / (x1 - x0)) * (width - left - right);
  const y = (v) => height - bottom - ((v - y0) / (y1 - y0)) * (height - top - bottom);
  const svg = make("svg", { viewBox: `0 0 ${width} ${height}`, class: "plot", "aria-label": label });
  for (let i = 0; i <= 4; i++) {
    const vx = x0 + ((x1 - x0) * i) / 4, vy = y0 + ((y1 - y0) * i) / 4;
    svg.append(make("line", { x1: left, x2: width - right, y1: y(vy), y2: y(vy), class: "rule" }),
      make("text", { x: left - 5, y: y(vy) + 4, "text-anchor": "end" }, shown(Number(vy.toFixed(2)))),
      make("text", { x: x(vx), y: height - 8, "text-anchor": "middle" }, shown(Number(vx.toFixed(2)))));
  }
  const curve = (points, name) => svg.append(make("polyline", { class: name, fill: "none",
    points: points.filter(([, b]) => Number.isFinite(b)).map(([a, b]) => `${x(a).toFixed(1)},${y(Math.max(y0, Math.min(y1, b))).toFixed(1)}`).join(" ") }));
  /** A pointer's share of the box as a value. */
  const at = (shareX, shareY) => [x0 + ((shareX * width - left) / (width - left - right)) * (x1 - x0), y0 + ((height - bottom - shareY * height) / (height - top - bottom)) * (y1 - y0)];
  return { svg, x, y, curve, at };
}

const range01 = Array.from({ length: 199 }, (_, i) => (i + 1) / 200);
const clamp = (value, low, high) => Math.max(low, Math.min(high, value));

function chooseBase(s, name) {
  const base = s.values[name][0];
  const one = (value, label) => make("button", { "aria-pressed": base === value ? "true" : "false", onclick: () => s.set({ [name]: [value] }) }, label);
  return make("span", { class: "bar", role: "group", "aria-label": "logarithm", style: "margin:0" }, one(0, "natural log (nats)"), one(2, "log₂ (bits)"));
}

/** An input for one number; what is wrong stands beside it, and the last good result stays. */
function numberInput(s, value, field, good, allowed, set) {
  const problem = make("span", { class: "problem", role: "alert" });
  const input = make("input", { value: shown(value), "data-field": field, "data-shown": shown(value), "aria-label": field.replaceAll(".", " "), autocomplete: "off", style: "width:76px" });
  handsOver(input, () => {
    const typed = readNumber(input.value);
    const sound = typed !== null && good(typed);
    input.setAttribute("aria-invalid", sound ? "false" : "true");
    problem.textContent = sound ? "" : `"${input.value}": ${allowed}.`;
    if (sound) set(typed);
    return sound;
  });
  return make("span", {}, input, problem);
}

/** Dragging that outlives the drawing: the picture is made anew at every move, the pointer is the same. */
function keepDragging(s, chart, move) {
  const share = (event, box) => move((event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height);
  chart.svg.style.touchAction = "none";
  chart.svg.onpointerdown = (event) => {
    const box = chart.svg.getBoundingClientRect();
    event.preventDefault();
    chart.svg.focus({ preventScroll: true });
    s.dragging = true;
    share(event, box);
    const follow = (moved) => share(moved, box);
    const end = () => {
      s.dragging = false;
      window.removeEventListener("pointermove", follow);
      for (const name of ["pointerup", "pointercancel"]) window.removeEventListener(name, end);
    };
    window.addEventListener("pointermove", follow);
    for (const name of ["pointerup", "pointercancel"]) window.addEventListener(name, end);
  };
}

/** A range for dragging and for the arrow keys, which may be drawn anew while it is dragged. */
function rangeInput(s, field, label, value, [least, most, step], set) {
  const fit = (v) => Number(clamp(Math.round(v / step) * step, least, most).toFixed(4));
  const input = make("input", { type: "range", min: least, max: most, step, "aria-label": label, "data-field": field, value: String(value), oninput: () => set(fit(Number(input.value))) });
  keepDragging(s, { svg: input }, (shareX) => set(fit(least + clamp((shareX * 1.1) - 0.05, 0, 1) * (most - least))));
  return input;
}

function labeled(label, value, ...children) {
  return make("label", { class: "field" }, make("span", {}, label, " ", make("span", { class: "mono" }, shown(value))), ...children);
}
