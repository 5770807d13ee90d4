// A window dragged over the image. The logits of every place are here already: nothing is asked of the server.

const memory = new WeakMap();

export default function (component) {
  const { parentElement, data, setStateValue } = component;
  let s = memory.get(parentElement);
  if (!s) {
    s = { root: parentElement.querySelector(".root"), opacity: 0.7 };
    s.report = settled(() => s.send("at", [s.tops[s.row], s.lefts[s.column]]), 600);
    memory.set(parentElement, s);
    build(s);
    s.root.style.visibility = "hidden"; // until there is something to drag
  }
  s.send = setStateValue;
  if (data && s.data !== data) {
    s.data = data;
    s.fixed = read(data);
  }
  askedFor(s.root, () => look(s));
  look(s);
}

/** Draw what is asked of this map, once both the map and the question are here. */
function look(s) {
  const wanted = asked();
  if (!s.fixed || wanted?.head.of !== s.fixed.of || (s.wanted === wanted && s.drawn === s.fixed)) return;
  const before = s.question;
  Object.assign(s, s.fixed, wanted.head, { wanted, drawn: s.fixed });
  s.colors = wanted.head.diverging ? s.fixed.diverging : s.fixed.sequential;
  if (wanted.head.target === s.fixed.classes.length) add(s, wanted);
  [s.values, s.map] = mapped(s, wanted.head.base);
  // The window stays where it was put. Until then it goes where a link wanted it, or the target loses most, as the
  // map gets sharper.
  if (before !== s.question) s.moved = false;
  if (!s.moved) s.place = s.start;
  s.row = nearest(s.tops, s.place[0]);
  s.column = nearest(s.lefts, s.place[1]);
  s.hover = null;
  prepare(s);
  draw(s);
  s.root.style.visibility = "";
}

/** Four bytes of length, the description, then the arrays in the order of `scrubber.py`. */
function read(data) {
  const { head, body } = unpacked(data),
    bytes = body.slice(); // a copy begins at 0, where typed arrays may begin
  const places = head.tops.length * head.lefts.length,
    pixels = head.width * head.height;
  let at = 0;
  const floats = (count) => {
    const array = new Float32Array(bytes.buffer, at, count);
    at += 4 * count;
    return array;
  };
  const small = (count) => {
    const array = bytes.subarray(at, at + count);
    at += count;
    return array;
  };
  const palette = () => {
    const flat = small(768);
    return Array.from({ length: 256 }, (_, i) => [...flat.subarray(3 * i, 3 * i + 3)]);
  };
  const s = {
    ...head,
    logs: floats(places * head.classes.length),
    total: floats(places),
    image: small(3 * pixels),
    filled: small(head.one_color ? 3 : 3 * pixels),
  };
  const won = small(places),
    rows = middles(head.height, head.tops, head.window),
    columns = middles(head.width, head.lefts, head.window);
  s.flips = Uint8Array.from(
    { length: pixels },
    (_, i) => won[rows[Math.floor(i / head.width)] * head.lefts.length + columns[i % head.width]],
  );
  s.sequential = palette();
  s.diverging = palette();
  return s;
}

/** For each pixel of an axis the window whose middle is nearest, the first of two. */
function middles(size, starts, window) {
  return Array.from({ length: size }, (_, pixel) => nearest(starts, pixel - (window - 1) / 2));
}

/** A target that went along with no map brings its own column. */
function add(s, { head, own }) {
  const k = s.fixed.classes.length,
    places = s.tops.length * s.lefts.length,
    column = new Float32Array(own.buffer);
  s.logs = new Float32Array(places * (k + 1));
  for (let i = 0; i < places; i++) {
    s.logs.set(s.fixed.logs.subarray(i * k, (i + 1) * k), i * (k + 1));
    s.logs[i * (k + 1) + k] = column[i];
  }
  s.classes = [...s.fixed.classes, head.name];
}

/** The value at every place, and of every pixel the mean over the windows that hide it: rows · values · columnsᵀ. */
function mapped(s, base) {
  const n = s.tops.length,
    m = s.lefts.length,
    k = s.classes.length,
    whole = Math.exp(base);
  const values = Float32Array.from({ length: n * m }, (_, i) => {
    const log = s.logs[i * k + s.target];
    return s.value === "logit" ? log + s.total[i] : s.value === "drop" ? whole - Math.exp(log) : Math.exp(log);
  });
  const across = shares(s.width, s.lefts, s.window),
    down = shares(s.height, s.tops, s.window);
  const wide = new Float64Array(n * s.width),
    map = new Float32Array(s.height * s.width);
  for (let i = 0; i < n; i++)
    for (let x = 0; x < s.width; x++) {
      let sum = 0;
      for (const j of across[x]) sum += values[i * m + j];
      wide[i * s.width + x] = sum / across[x].length;
    }
  for (let y = 0; y < s.height; y++)
    for (let x = 0; x < s.width; x++) {
      let sum = 0;
      for (const i of down[y]) sum += wide[i * s.width + x];
      map[y * s.width + x] = sum / down[y].length;
    }
  return [values, map];
}

/** Which windows hide each pixel of an axis; the nearest where none does. */
function shares(size, starts, window) {
  const near = middles(size, starts, window);
  return Array.from({ length: size }, (_, pixel) => {
    const over = starts.map((start, i) => (pixel >= start && pixel < start + window ? i : -1)).filter((i) => i >= 0);
    return over.length ? over : [near[pixel]];
  });
}

function nearest(starts, at) {
  let best = 0;
  for (let i = 1; i < starts.length; i++) if (Math.abs(starts[i] - at) < Math.abs(starts[best] - at)) best = i;
  return best;
}

function build(s) {
  const pane = (name, area, what) => {
    const canvas = make("canvas", { tabindex: 0, role: "img", "aria-label": what, "data-pane": name });
    const box = make("div", { class: "box" }),
      title = make("h4", {}),
      under = make("div", { class: "under" });
    return {
      name,
      canvas,
      box,
      title,
      under,
      element: make("div", { class: `pane ${area}` }, title, make("div", { class: "over" }, canvas, box), under),
    };
  };
  s.picture = pane("picture", "photo", "picture: drag the window, or move it with the arrow keys");
  s.heat = pane("map", "heat", "map: point at a pixel for its number, drag to move the window");
  s.flip = pane("flips", "flip", "who wins: point at a pixel, drag to move the window");
  s.answer = make("div", { class: "pane answer" });
  s.figure = make("div", { class: "figure mono" });
  s.change = make("div", { class: "quiet" });
  s.bars = make("div", { class: "bars" });
  s.where = make("div", { class: "quiet" });
  s.status = make("div", { class: "unseen", role: "status" });
  s.answerTitle = make("h4", {});
  s.answer.append(make("div", { class: "head" }, s.answerTitle, s.figure, s.change), s.bars, s.where, s.status);
  s.barParts = Array.from({ length: 5 }, () => {
    const name = make("span", { class: "name" }),
      share = make("span", { class: "mono" }),
      fill = make("div", { class: "fill" });
    const row = make(
      "div",
      { class: "row" },
      make("div", { class: "texts" }, name, share),
      make("div", { class: "track" }, fill),
    );
    s.bars.append(row);
    return { row, name, share, fill };
  });
  s.scale = make("canvas", { class: "scale", "aria-hidden": "true" });
  s.low = make("span", {});
  s.middle = make("span", {});
  s.high = make("span", {});
  s.read = make("div", { class: "readout" });
  const opacity = make("input", {
    type: "range",
    min: 0,
    max: 100,
    value: String(100 * s.opacity),
    "aria-label": "how strongly the map covers the picture",
  });
  opacity.oninput = () => {
    s.opacity = Number(opacity.value) / 100;
    paintHeat(s);
  };
  s.heat.under.append(
    s.scale,
    make("div", { class: "ends mono" }, s.low, s.middle, s.high),
    make("label", { class: "cover quiet" }, make("span", {}, "picture"), opacity, make("span", {}, "map")),
    s.read,
  );
  s.flipRead = make("div", { class: "readout" });
  s.legend = make("ul", { class: "legend" });
  s.flip.under.append(s.legend, s.flipRead);
  s.picture.under.append(
    make(
      "div",
      { class: "quiet" },
      "Drag with the mouse or a finger; arrow keys go place by place, Home to the weakest.",
    ),
  );
  for (const part of [s.picture, s.heat, s.flip]) listen(s, part);
  s.root.replaceChildren(
    make("div", { class: "panes" }, s.picture.element, s.answer, s.heat.element, s.flip.element),
  );
}

function listen(s, part) {
  draggable(part.canvas, (x, y) => {
    moveTo(s, nearest(s.tops, y * s.height - s.window / 2), nearest(s.lefts, x * s.width - s.window / 2));
    s.hover = [clamp(Math.floor(x * s.width), s.width), clamp(Math.floor(y * s.height), s.height)];
    schedule(s);
  });
  const drag = part.canvas.onpointermove;
  part.canvas.onpointermove = (event) => {
    drag(event);
    const box = part.canvas.getBoundingClientRect();
    s.hover = [
      clamp(Math.floor(((event.clientX - box.left) / box.width) * s.width), s.width),
      clamp(Math.floor(((event.clientY - box.top) / box.height) * s.height), s.height),
    ];
    schedule(s);
  };
  part.canvas.onpointerleave = () => {
    s.hover = null;
    schedule(s);
  };
  part.canvas.onkeydown = (event) => {
    const step = event.shiftKey ? 5 : 1;
    const move = { ArrowUp: [-step, 0], ArrowDown: [step, 0], ArrowLeft: [0, -step], ArrowRight: [0, step] }[
      event.key
    ];
    if (event.key === "Home") moveTo(s, ...weakest(s));
    else if (move) moveTo(s, s.row + move[0], s.column + move[1]);
    else return;
    s.hover = null;
    event.preventDefault();
  };
}

const clamp = (value, size) => Math.max(0, Math.min(size - 1, value));

function weakest(s) {
  const k = s.classes.length;
  let best = 0;
  for (let i = 0; i < s.tops.length * s.lefts.length; i++)
    if (s.logs[i * k + s.target] < s.logs[best * k + s.target]) best = i;
  return [Math.floor(best / s.lefts.length), best % s.lefts.length];
}

function moveTo(s, row, column) {
  row = clamp(row, s.tops.length);
  column = clamp(column, s.lefts.length);
  if (row === s.row && column === s.column) return;
  s.row = row;
  s.column = column;
  [s.place, s.moved] = [[s.tops[row], s.lefts[column]], true];
  schedule(s);
  s.report();
}

/** At most one drawing a frame, however fast the pointer moves. */
function schedule(s) {
  s.waiting ??= requestAnimationFrame(() => {
    s.waiting = null;
    draw(s);
  });
}

/** What stays the same while the window moves: the two maps, their colors and legends. */
function prepare(s) {
  s.rgba = new Uint8ClampedArray(4 * s.width * s.height).fill(255);
  for (let i = 0; i < s.width * s.height; i++) for (let c = 0; c < 3; c++) s.rgba[4 * i + c] = s.image[3 * i + c];
  for (const part of [s.picture, s.heat, s.flip]) {
    part.canvas.width = s.width;
    part.canvas.height = s.height;
    part.canvas.classList.toggle("pixelated", s.width <= 128);
  }
  s.picture.title.textContent = `Hide ${s.window} × ${s.window} pixels: drag`;
  s.heat.title.textContent = {
    drop: "How much each part matters",
    probability: "Probability left",
    logit: "Logit left",
  }[
    s.value
  ];
  s.flip.title.textContent = "Who wins when this is hidden";
  s.answerTitle.textContent = s.classes[s.target];
  s.scale.width = 256;
  s.scale.height = 1;
  const strip = new ImageData(256, 1);
  s.colors.forEach((color, i) => strip.data.set([...color, 255], 4 * i));
  s.scale.getContext("2d").putImageData(strip, 0, 0);
  s.low.textContent = asValue(s, s.lowest);
  s.middle.textContent = s.value === "drop" && s.highest > 0 ? "0" : "";
  s.high.textContent = asValue(s, s.highest);
  s.legend.replaceChildren(
    ...s.winners.map((w) =>
      make(
        "li",
        {},
        make("span", { class: "swatch", style: `background:${w.color}` }),
        make("span", { class: "name", title: w.name }, w.name),
        make("span", { class: "mono" }, String(w.places)),
      ),
    ),
  );
  const flips = new ImageData(s.width, s.height),
    colors = s.flip_colors.map((hex) => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16)));
  for (let i = 0; i < s.flips.length; i++) {
    // The picture stays visible as light and dark.
    const gray = (s.rgba[4 * i] * 0.3 + s.rgba[4 * i + 1] * 0.59 + s.rgba[4 * i + 2] * 0.11) / 255;
    for (let c = 0; c < 3; c++) flips.data[4 * i + c] = colors[s.flips[i]][c] * (0.72 + 0.28 * gray);
    flips.data[4 * i + 3] = 255;
  }
  s.flip.canvas.getContext("2d").putImageData(flips, 0, 0);
  paintHeat(s);
}

function paintHeat(s) {
  const image = new ImageData(s.width, s.height),
    span = s.highest - s.lowest;
  for (let i = 0; i < s.map.length; i++) {
    const share = span > 0 ? (s.map[i] - s.lowest) / span : 0.5,
      color = s.colors[Math.max(0, Math.min(255, Math.round(255 * share)))];
    const gray = s.rgba[4 * i] * 0.3 + s.rgba[4 * i + 1] * 0.59 + s.rgba[4 * i + 2] * 0.11;
    for (let c = 0; c < 3; c++) image.data[4 * i + c] = s.opacity * color[c] + (1 - s.opacity) * gray;
    image.data[4 * i + 3] = 255;
  }
  s.heat.canvas.getContext("2d").putImageData(image, 0, 0);
}

const percent = (share) =>
  share >= 0.9995 && share < 1
    ? "> 99.9%"
    : share > 0 && share < 0.0005
      ? "< 0.1%"
      : `${(100 * share).toFixed(1)}%`;
const signed = (value, text) => (value < 0 ? "−" : "+") + text(Math.abs(value));

function asValue(s, value) {
  if (s.value === "logit") return shown(value);
  if (s.value === "probability") return `${+(100 * value).toPrecision(3)}%`;
  return value === 0 ? "0" : signed(value, (v) => `${+(100 * v).toPrecision(2)} pts`);
}

function draw(s) {
  const top = s.tops[s.row],
    left = s.lefts[s.column],
    k = s.classes.length,
    at = s.row * s.lefts.length + s.column;
  const context = s.picture.canvas.getContext("2d"),
    pixels = new ImageData(new Uint8ClampedArray(s.rgba), s.width, s.height);
  for (let y = top; y < top + s.window; y++)
    for (let x = left; x < left + s.window; x++) {
      const i = y * s.width + x;
      for (let c = 0; c < 3; c++) pixels.data[4 * i + c] = s.filled[s.one_color ? c : 3 * i + c];
    }
  context.putImageData(pixels, 0, 0);
  for (const part of [s.picture, s.heat, s.flip]) {
    part.box.style.left = `${(100 * left) / s.width}%`;
    part.box.style.top = `${(100 * top) / s.height}%`;
    part.box.style.width = `${(100 * s.window) / s.width}%`;
    part.box.style.height = `${(100 * s.window) / s.height}%`;
  }
  const logs = s.logs.subarray(at * k, (at + 1) * k),
    order = Array.from(logs.keys())
      .sort((a, b) => logs[b] - logs[a])
      .slice(0, 5);
  const here = Math.exp(logs[s.target]),
    whole = Math.exp(s.base);
  s.figure.textContent = percent(here);
  s.change.textContent =
    `${percent(whole)} with nothing hidden: ` + `${signed(here - whole, (v) => `${(100 * v).toFixed(1)} points`)}`;
  s.barParts.forEach((part, i) => {
    const c = order[i];
    part.row.hidden = c === undefined;
    if (c === undefined) return;
    const share = Math.exp(logs[c]);
    part.name.textContent = s.classes[c];
    part.share.textContent = percent(share);
    part.fill.style.width = `${100 * share}%`;
    part.row.classList.toggle("target", c === s.target);
  });
  s.where.textContent = `Window at row ${top}, column ${left}; one of ${s.tops.length} × ${s.lefts.length} places.`;
  s.status.textContent = `${s.classes[s.target]} ${percent(here)}, first ${s.classes[order[0]]}`;
  const hover = s.hover ? s.hover[1] * s.width + s.hover[0] : -1;
  const spot = s.hover ? `row ${s.hover[1]}, column ${s.hover[0]}: ` : "";
  s.read.textContent = s.hover
    ? `${spot}${asValue(s, s.map[hover])}, the mean of the windows over it`
    : "Hover for the value.";
  s.flipRead.textContent = s.hover
    ? `${spot}${s.winners.find((w) => w.color === s.flip_colors[s.flips[hover]])?.name ?? ""}`
    : "Hover for the winner.";
  Object.assign(s.root.dataset, {
    top,
    left,
    probability: here,
    first: s.classes[order[0]],
    places: s.tops.length * s.lefts.length,
    hover: s.hover ? s.map[hover] : "",
  });
}
