// A confusion matrix on a canvas: rows true, columns predicted. Click or Enter picks a cell; a click on a class's
// name picks all errors of its row or column. One state object lives as long as its parent element.

const grids = new WeakMap();

export default function ({ parentElement, data, setTriggerValue }) {
  let s = grids.get(parentElement);
  if (!s) {
    s = { root: parentElement.querySelector(".root"), zoom: 1, top: 0, left: 0, cursor: null, shape: "" };
    grids.set(parentElement, s);
    build(s);
  }
  s.pick = (cell) => setTriggerValue("picked", cell);
  const { head, body } = unpacked(data),
    bytes = body.slice().buffer;
  Object.assign(s, head);
  s.k = s.names.length;
  s.values = new Float32Array(bytes, 0, s.k * s.k);
  s.counts = new Int32Array(bytes, 4 * s.k * s.k, s.k * s.k);
  s.rows = sums(s, (i, j) => i);
  s.columns = sums(s, (i, j) => j);
  const shape = s.ids.join();
  if (s.shape !== shape) Object.assign(s, { shape, zoom: 1, top: 0, left: 0, cursor: null });
  draw(s);
  return () => s.observer.disconnect();
}

function sums(s, of) {
  const total = new Float64Array(s.k);
  for (let i = 0; i < s.k; i += 1) for (let j = 0; j < s.k; j += 1) total[of(i, j)] += s.counts[i * s.k + j];
  return total;
}

function build(s) {
  s.canvas = make("canvas", { tabindex: "0", role: "application" });
  s.readout = make("p", { class: "readout", "aria-live": "polite" });
  s.scale = make("span", { class: "scale" });
  const button = (text, label, action) =>
    make("button", { type: "button", title: label, "aria-label": label, onclick: action }, text);
  const tools = make(
    "span",
    { class: "tools" },
    button("−", "Zoom out (key −)", () => zoom(s, 1 / 1.6)),
    button("+", "Zoom in (key +)", () => zoom(s, 1.6)),
    button("Whole", "The whole matrix (key 0)", () => zoom(s, 0)),
    button("PNG", "Save the matrix as a picture", () => save(s)),
  );
  s.root.replaceChildren(make("div", { class: "bar" }, s.scale, tools), s.canvas, s.readout);
  s.observer = new ResizeObserver(() => draw(s));
  s.observer.observe(s.root);
  s.canvas.onkeydown = (event) => key(s, event);
  s.canvas.onpointerdown = (event) => {
    s.drag = { x: event.clientX, y: event.clientY, top: s.top, left: s.left, moved: false };
    s.canvas.setPointerCapture(event.pointerId);
  };
  s.canvas.onpointermove = (event) => {
    const { x, y } = s.drag ?? {};
    if (s.drag && s.zoom > 1 && Math.hypot(event.clientX - x, event.clientY - y) > 4) {
      s.drag.moved = true;
      move(s, s.drag.top - (event.clientY - y) / s.box.cell, s.drag.left - (event.clientX - x) / s.box.cell);
      draw(s);
      return;
    }
    s.hover = cellAt(s, event);
    say(s, s.hover);
  };
  s.canvas.onpointerleave = () => {
    s.hover = null;
    say(s, s.cursor);
  };
  s.canvas.onpointerup = (event) => {
    const moved = s.drag?.moved;
    s.drag = null;
    if (!moved) choose(s, cellAt(s, event));
  };
  s.canvas.onpointercancel = () => {
    s.drag = null;
  };
  s.canvas.onwheel = (event) => {
    if (!event.ctrlKey && !event.metaKey) return;
    event.preventDefault();
    zoom(s, event.deltaY < 0 ? 1.25 : 0.8, cellAt(s, event));
  };
  s.canvas.onfocus = () => {
    s.cursor ??= { i: 0, j: 0 };
    draw(s);
  };
  s.canvas.onblur = () => {
    s.cursor = null;
    draw(s);
  };
}

/** Row and column under the pointer; −1 where it is on the names. */
function cellAt(s, event) {
  const frame = s.canvas.getBoundingClientRect();
  const x = event.clientX - frame.left - s.box.left,
    y = event.clientY - frame.top - s.box.top;
  const j = x < 0 ? -1 : Math.floor(x / s.box.cell + s.left),
    i = y < 0 ? -1 : Math.floor(y / s.box.cell + s.top);
  return i >= s.k || j >= s.k || (i < 0 && j < 0) ? null : { i, j };
}

function choose(s, cell) {
  if (!cell || (cell.i < 0 && cell.j < 0)) return;
  s.pick([cell.i < 0 ? -1 : s.ids[cell.i], cell.j < 0 ? -1 : s.ids[cell.j]]);
}

function key(s, event) {
  const steps = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
  const clamp = (x) => Math.min(s.k - 1, Math.max(-1, x));
  s.cursor ??= { i: 0, j: 0 };
  if (steps[event.key]) {
    const [di, dj] = steps[event.key].map((d) => d * (event.shiftKey ? 10 : 1));
    const next = { i: clamp(s.cursor.i + di), j: clamp(s.cursor.j + dj) };
    if (next.i >= 0 || next.j >= 0) s.cursor = next;
    if (next.i >= 0) s.top = Math.min(next.i, Math.max(s.top, next.i + 1 - s.box.rows));
    if (next.j >= 0) s.left = Math.min(next.j, Math.max(s.left, next.j + 1 - s.box.rows));
    move(s, s.top, s.left);
    draw(s);
  } else if (event.key === "Home" || event.key === "End") {
    s.cursor = { ...s.cursor, j: event.key === "Home" ? 0 : s.k - 1 };
    move(s, s.top, s.cursor.j);
    draw(s);
  } else if (event.key === "Enter" || event.key === " ") choose(s, s.cursor);
  else if (event.key === "+" || event.key === "=") zoom(s, 1.6, s.cursor);
  else if (event.key === "-") zoom(s, 1 / 1.6, s.cursor);
  else if (event.key === "0") zoom(s, 0);
  else return;
  event.preventDefault();
  event.stopPropagation();
}

function move(s, top, left) {
  const last = s.k - s.box.rows;
  s.top = Math.max(0, Math.min(last, top));
  s.left = Math.max(0, Math.min(last, left));
}

function zoom(s, factor, around = null) {
  const before = s.box.rows;
  const at = around ?? s.cursor ?? { i: s.top + before / 2, j: s.left + before / 2 };
  s.zoom = factor ? Math.max(1, Math.min(Math.max(1, s.k / 4), s.zoom * factor)) : 1;
  s.box = measure(s, s.canvas.clientWidth);
  const share = s.box.rows / before;
  move(s, at.i - (at.i - s.top) * share, at.j - (at.j - s.left) * share);
  draw(s);
}

const FONT = "sans-serif";

function measure(s, width) {
  const pen = s.canvas.getContext("2d");
  pen.font = `12px ${FONT}`;
  const longest = Math.max(...s.names.map((name) => pen.measureText(name).width));
  const margin = Math.min(longest, width * 0.22, 130) + 12;
  const side = Math.max(40, Math.min(width - margin - 18, 760));
  const rows = s.k / s.zoom;
  return { left: margin + 16, top: margin + 16, side, rows, cell: side / rows, name: margin - 10 };
}

function colors(s) {
  const style = getComputedStyle(s.root);
  const read = (name, other) => style.getPropertyValue(name).trim() || other;
  const background = rgb(read("--st-background-color", "#fff"));
  const dark = background[0] + background[1] + background[2] < 380;
  return {
    dark,
    background,
    text: read("--st-text-color", "#222"),
    line: read("--st-border-color", "#ccc"),
    muted: rgb(read("--st-secondary-background-color", "#eee")),
    focus: read("--st-primary-color", "#06c"),
    right: dark ? [76, 194, 224] : [11, 110, 138],
    wrong: dark ? [255, 138, 82] : [201, 72, 16],
    more: dark ? [110, 168, 254] : [29, 78, 216],
    less: dark ? [255, 138, 82] : [201, 72, 16],
  };
}

function rgb(text) {
  const hex = text.match(/^#([0-9a-f]{6})$/i);
  if (hex) return [0, 2, 4].map((at) => parseInt(hex[1].slice(at, at + 2), 16));
  return (text.match(/[\d.]+/g) ?? [255, 255, 255]).slice(0, 3).map(Number);
}

const mixed = (from, to, share) => from.map((value, c) => Math.round(value + (to[c] - value) * share));

/** The largest value that gets a full color. */
function limit(s) {
  if (s.limit) return s.limit;
  let most = 0;
  for (let i = 0; i < s.k; i += 1) {
    for (let j = 0; j < s.k; j += 1) if (!(s.mute && i === j)) most = Math.max(most, Math.abs(s.values[i * s.k + j]));
  }
  return most;
}

function color(s, c, most, i, j) {
  const value = s.values[i * s.k + j];
  if (s.mute && i === j) return c.muted;
  const full = s.signed ? (value > 0 ? c.more : c.less) : i === j ? c.right : c.wrong;
  // By the square root: a few errors must show beside a thousand right answers.
  return mixed(c.background, full, most ? Math.sqrt(Math.min(1, Math.abs(value) / most)) : 0);
}

function draw(s) {
  const width = s.root.clientWidth;
  if (!width || !s.names) return;
  s.box = measure(s, width);
  move(s, s.top, s.left);
  const c = colors(s),
    most = limit(s),
    ratio = window.devicePixelRatio || 1;
  const height = s.box.top + s.box.side + 4;
  s.canvas.width = Math.round(width * ratio);
  s.canvas.height = Math.round(height * ratio);
  s.canvas.style.height = `${height}px`;
  s.canvas.classList.toggle("zoomed", s.zoom > 1);
  const pen = s.canvas.getContext("2d");
  pen.scale(ratio, ratio);
  paint(s, pen, c, most, width, height);
  Object.assign(s.canvas.dataset, { left: s.box.left, top: s.box.top, cell: s.box.cell });
  s.canvas.setAttribute(
    "aria-label",
    `Confusion matrix of ${s.k} classes, rows true, columns predicted. Arrow keys move, Enter shows the images.`,
  );
  legend(s, c, most);
  say(s, s.hover ?? s.cursor);
}

function paint(s, pen, c, most, width, height) {
  const { left, top, side, cell } = s.box;
  pen.clearRect(0, 0, width, height);
  pen.save();
  pen.beginPath();
  pen.rect(left, top, side, side);
  pen.clip();
  const first = [Math.floor(s.top), Math.floor(s.left)];
  const last = [s.top, s.left].map((at) => Math.min(s.k, Math.ceil(at + s.box.rows)));
  const gap = cell > 14 ? 1 : 0;
  pen.textAlign = "center";
  pen.textBaseline = "middle";
  const longest = Math.max(
    2,
    ...[most, ...(s.mute ? [] : [-most])].map((v) => format(s, s.signed ? -Math.abs(v) : v).length),
  );
  const size = Math.min(15, (cell - 4) / (longest * 0.58), cell * 0.5);
  pen.font = `${size}px ${FONT}`;
  for (let i = first[0]; i < last[0]; i += 1) {
    for (let j = first[1]; j < last[1]; j += 1) {
      const x = left + (j - s.left) * cell,
        y = top + (i - s.top) * cell,
        fill = color(s, c, most, i, j);
      const value = s.values[i * s.k + j];
      pen.fillStyle = `rgb(${fill})`;
      pen.fillRect(x, y, cell - gap + (gap ? 0 : 0.6), cell - gap + (gap ? 0 : 0.6));
      if (gap && value === 0) frame(pen, c.line, x, y, cell, cell, 0.5);
      if (size >= 7.5 && value !== 0 && !(s.mute && i === j)) {
        const light = 0.3 * fill[0] + 0.59 * fill[1] + 0.11 * fill[2];
        pen.fillStyle = light > 140 ? "#111" : "#fff";
        pen.fillText(format(s, value), x + (cell - gap) / 2, y + (cell - gap) / 2 + 0.5);
      }
    }
  }
  frame(pen, c.line, left - s.left * cell, top - s.top * cell, s.k * cell, s.k * cell, 1);
  if (s.selected) outline(s, pen, c.text, s.ids.indexOf(s.selected[0]), s.ids.indexOf(s.selected[1]), 3);
  if (s.cursor) outline(s, pen, c.focus, s.cursor.i, s.cursor.j, 2);
  pen.restore();
  names(s, pen, c);
}

function frame(pen, stroke, x, y, w, h, thick) {
  pen.strokeStyle = stroke;
  pen.lineWidth = thick;
  pen.strokeRect(x + thick / 2, y + thick / 2, w - thick, h - thick);
}

/** Around a cell, or around a whole row or column where the other index is −1. */
function outline(s, pen, stroke, i, j, thick) {
  if (i < 0 && j < 0) return;
  const { left, top, cell } = s.box;
  const x = j < 0 ? left - s.left * cell : left + (j - s.left) * cell,
    y = i < 0 ? top - s.top * cell : top + (i - s.top) * cell;
  frame(pen, stroke, x, y, j < 0 ? s.k * cell : cell, i < 0 ? s.k * cell : cell, thick);
}

function names(s, pen, c) {
  const { left, top, side, cell, name } = s.box;
  const step = Math.ceil(13 / cell);
  const short = (text) => {
    if (pen.measureText(text).width <= name) return text;
    let end = text.length;
    while (end > 1 && pen.measureText(`${text.slice(0, end)}…`).width > name) end -= 1;
    return `${text.slice(0, end)}…`;
  };
  pen.font = `${Math.min(12, Math.max(9, cell * 0.8))}px ${FONT}`;
  pen.fillStyle = c.text;
  pen.textBaseline = "middle";
  for (let i = 0; i < s.k; i += step) {
    const y = top + (i + 0.5 - s.top) * cell,
      x = left + (i + 0.5 - s.left) * cell;
    if (y > top && y < top + side) {
      pen.textAlign = "right";
      pen.fillText(short(s.names[i]), left - 6, y);
    }
    if (x > left && x < left + side) {
      pen.save();
      pen.translate(x, top - 6);
      const wide = Math.max(...s.names.map((text) => pen.measureText(short(text)).width)) < cell - 4;
      if (!wide) pen.rotate(-Math.PI / 2);
      pen.textAlign = wide ? "center" : "left";
      pen.fillText(short(s.names[i]), 0, wide ? -4 : 0);
      pen.restore();
    }
  }
  pen.font = `600 12px ${FONT}`;
  pen.textAlign = "center";
  pen.fillText("predicted →", left + side / 2, 7);
  pen.save();
  pen.translate(8, top + side / 2);
  pen.rotate(-Math.PI / 2);
  pen.fillText("← true", 0, 0);
  pen.restore();
}

function format(s, value) {
  if (s.share) {
    const text = (100 * value).toFixed(Math.abs(value) < 0.0995 ? 1 : 0);
    return `${s.signed && value > 0 ? "+" : ""}${text}`.replace("-", "−");
  }
  return `${s.signed && value > 0 ? "+" : ""}${value}`.replace("-", "−");
}

function legend(s, c, most) {
  const to = (full) => `linear-gradient(to right, rgb(${c.background}), rgb(${full}))`;
  const unit = s.share ? " %" : "";
  const ramp = (full, label) => [
    make("span", { class: "ramp", style: `background:${to(full)}` }),
    make("span", {}, label),
  ];
  const end = format({ ...s, signed: false }, most) + unit;
  s.scale.replaceChildren(
    ...(s.signed
      ? [...ramp(c.less, s.labels[0]), ...ramp(c.more, s.labels[1]), make("span", {}, `to ${end}`)]
      : [...(s.mute ? [] : ramp(c.right, "right")), ...ramp(c.wrong, "wrong"), make("span", {}, `0 to ${end}`)]),
  );
}

/** What is under the pointer or the cursor, in words. */
function say(s, cell) {
  const at = cell ?? (s.selected ? { i: s.ids.indexOf(s.selected[0]), j: s.ids.indexOf(s.selected[1]) } : null);
  s.readout.textContent = at && (at.i >= 0 || at.j >= 0) ? words(s, at) : s.hint;
}

function words(s, { i, j }) {
  const images = (n) => `${n.toLocaleString("en")} image${Math.abs(n) === 1 ? "" : "s"}`;
  const percent = (part, all) => (all ? `${((100 * part) / all).toFixed(1)}%` : "none");
  if (i < 0)
    return (
      `Predicted “${s.names[j]}” though it is ` +
      `not${s.signed ? "" : `: ${images(s.columns[j] - s.counts[j * s.k + j])}`}`
    );
  if (j < 0)
    return (
      `“${s.names[i]}” taken for something ` +
      `else${s.signed ? "" : `: ${images(s.rows[i] - s.counts[i * s.k + i])}`}`
    );
  const n = s.counts[i * s.k + j];
  const what = i === j ? `“${s.names[i]}”, rightly recognized` : `“${s.names[i]}” taken for “${s.names[j]}”`;
  if (s.signed)
    return (
      `${what}: ${n > 0 ? "+" : ""}${images(n)} ` +
      `(${n > 0 ? s.labels[1] : n < 0 ? s.labels[0] : "no difference"})`
    ).replace("-", "−");
  return (
    `${what}: ${images(n)}, ${percent(n, s.rows[i])} of “${s.names[i]}”, ${percent(n, s.columns[j])} of what ` +
    `is called “${s.names[j]}”`
  );
}

/** The whole matrix as a PNG file, on the page's background. */
function save(s) {
  const old = s.canvas,
    width = Math.max(900, Math.min(4000, 160 + 18 * s.k));
  const whole = { ...s, zoom: 1, top: 0, left: 0, cursor: null };
  whole.box = measure(whole, 780);
  const scale = width / 780,
    height = whole.box.top + whole.box.side + 12;
  const canvas = make("canvas", {});
  canvas.width = Math.round(width);
  canvas.height = Math.round(height * scale);
  const c = colors(s),
    pen = canvas.getContext("2d");
  pen.scale(scale, scale);
  whole.canvas = old;
  paint(whole, pen, c, limit(s), 780, height);
  pen.globalCompositeOperation = "destination-over";
  pen.fillStyle = `rgb(${c.background})`;
  pen.fillRect(0, 0, 780, height);
  canvas.toBlob((blob) => {
    const link = make("a", { href: URL.createObjectURL(blob), download: "confusion_matrix.png" });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  });
}
