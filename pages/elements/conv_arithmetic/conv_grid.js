// The convolution by hand: editable grids, the window that slides over them, and everything it multiplies.
// Arithmetic is in conv_cells.js; here is what is seen. One state object lives as long as its parent element.

const KINDS = {
  conv: "Convolution",
  conv_transpose: "Transposed convolution",
  max_pool: "Max pooling",
  avg_pool: "Average pooling",
};
const HUES = ["#e5484d", "#2f9e44", "#3b82f6", "#b7791f", "#8b5cf6", "#0e9aa7", "#d6409f", "#6b7280"];
const states = new WeakMap();

export default function (component) {
  const { parentElement, data, setStateValue } = component;
  let s = states.get(parentElement);
  if (!s) {
    s = {
      root: parentElement.querySelector(".root"),
      playing: false,
      speed: 3,
      errors: {},
      typed: {},
      revision: null,
      preset: "",
    };
    states.set(parentElement, s);
  }
  s.send = setStateValue;
  s.presets = data.presets;
  s.report ??= settled(() => {
    s.sent = JSON.stringify(asSent(s));
    s.send("exercise", JSON.parse(s.sent));
  }, 350);
  if (s.revision !== data.revision) {
    s.revision = data.revision;
    s.preset = data.preset ?? "";
    adopt(s, data.exercise);
  }
  return () => cancelAnimationFrame(s.ticking);
}

function asSent(s) {
  return { ...s.good.e, at: s.at, predict: s.predict };
}

/** Take over a whole exercise: a preset's, or the address's. */
function adopt(s, exercise) {
  s.e = structuredClone(exercise);
  s.predict = exercise.predict;
  s.at = exercise.at;
  s.errors = {};
  s.typed = {};
  pause(s);
  s.good = { e: structuredClone(s.e), out: outputOf(s.e) };
  forgetAnswers(s);
  clampAt(s);
  draw(s);
}

function forgetAnswers(s) {
  s.answers = new Map();
  s.sizeTyped = null;
  s.sizeKnown = false;
  s.revealed = false;
}

/** Try an exercise with `patch` in it: adopt it if it is sound, else name what is wrong and keep the last good one. */
function change(s, patch, field) {
  const next = { ...s.e, ...patch };
  s.e = next;
  try {
    const out = outputOf(next);
    s.good = { e: structuredClone(next), out };
    s.errors = {};
    s.typed = {};
    s.preset = presetOf(s, next);
    forgetAnswers(s);
    clampAt(s);
    s.report();
  } catch (problem) {
    if (!(problem instanceof BadLayer)) throw problem;
    s.errors = {
      [problem.field === "kernel_size" && field === "dilation" ? "dilation" : problem.field]: problem.message,
    };
  }
  draw(s, field);
}

/** The name of the exercise that has exactly these numbers and settings, or "". */
function presetOf(s, e) {
  const names = [
    "kind",
    "x",
    "weight",
    "bias",
    "stride",
    "padding",
    "dilation",
    "groups",
    "output_padding",
    "padding_mode",
    "ceil_mode",
    "count_include_pad",
  ];
  const same = (a, b) =>
    names.every((name) => JSON.stringify(a[name] ?? null) === JSON.stringify(b[name] ?? null)) &&
    kernelSize(a).join() === kernelSize(b).join();
  return s.presets.find((p) => same(p.exercise, e))?.name ?? "";
}

function clampAt(s) {
  const { out } = s.good;
  s.at = [
    Math.min(s.at[0], out.length - 1),
    Math.min(s.at[1], out[0].length - 1),
    Math.min(s.at[2], out[0][0].length - 1),
  ];
}

// ---------------------------------------------------------------- sizes of the arrays

const resized = (list, n, grow) =>
  Array.from({ length: n }, (_, i) => (i < list.length ? list[i] : grow(list[list.length - 1])));

function resizeInput(x, channels, height, width) {
  return resized(x, channels, structuredClone).map((plane) =>
    resized(plane, height, structuredClone).map((row) => resized(row, width, (last) => last)),
  );
}

/** The kernels for other sizes: a kernel of equal numbers grows by that number, another one by zeros. */
function resizeWeight(weight, first, second, [kh, kw]) {
  return resized(weight, first, structuredClone).map((filter) =>
    resized(filter, second, structuredClone).map((kernel) => {
      const flat = kernel.flat(),
        fill = flat.every((v) => v === flat[0]) ? flat[0] : 0;
      return resized(kernel, kh, (row) => row.map(() => fill)).map((row) => resized(row, kw, () => fill));
    }),
  );
}

/** The exercise with other numbers of channels, filters or cells. */
function reshape(s, { channels, height, width, filters, kernel, groups, kind }) {
  const e = s.e,
    pooling = ["max_pool", "avg_pool"].includes(kind ?? e.kind);
  const patch = { kind: kind ?? e.kind, groups: groups ?? e.groups };
  channels ??= e.x.length;
  patch.x = resizeInput(e.x, channels, height ?? e.x[0].length, width ?? e.x[0][0].length);
  kernel ??= kernelSize(e);
  patch.kernel_size = kernel;
  if (pooling) {
    Object.assign(patch, { weight: null, bias: null, groups: 1, padding_mode: "zeros", output_padding: [0, 0] });
    if (e.weight) s.kept = { weight: e.weight, kind: e.kind };
    if (typeof e.padding === "string") patch.padding = [0, 0];
    if (patch.kind === "avg_pool") patch.dilation = [1, 1];
    return patch;
  }
  let weight = e.weight ?? s.kept?.weight ?? [[Array.from({ length: kernel[0] }, () => Array(kernel[1]).fill(1))]];
  filters ??= e.weight
    ? channelsOut(e)
    : s.kept
      ? s.kept.kind === "conv_transpose"
        ? weight[0].length
        : weight.length
      : 1;
  const was = e.weight ? e.kind : (s.kept?.kind ?? patch.kind);
  if ((was === "conv_transpose") !== (patch.kind === "conv_transpose")) {
    // PyTorch keeps the channels the other way round.
    weight = weight[0].map((_, b) => weight.map((filter) => filter[b]));
  }
  if (patch.kind !== "conv") {
    patch.padding_mode = "zeros";
    if (typeof e.padding === "string") patch.padding = [0, 0];
  }
  if (patch.kind !== "conv_transpose") patch.output_padding = [0, 0];
  const g = patch.groups;
  if (channels % g || filters % g) {
    throw new BadLayer(
      "groups",
      `groups is ${g}: choose a divisor of both ${channels} channels and ${filters} filters.`,
    );
  }
  patch.weight =
    patch.kind === "conv_transpose"
      ? resizeWeight(weight, channels, filters / g, kernel)
      : resizeWeight(weight, filters, channels / g, kernel);
  patch.bias = e.bias ? resized(e.bias, filters, () => 0) : null;
  return patch;
}

// ---------------------------------------------------------------- settings

/** [row, column] from "2" or "1, 2"; throws with what is allowed. */
function readPair(text, name, least, most) {
  const words = text.trim().split(/[\s,x×]+/);
  const numbers = words.map(Number);
  if (words[0] === "" || words.length > 2 || !numbers.every((n) => Number.isInteger(n) && n >= least && n <= most)) {
    throw new BadLayer(
      name,
      `"${text}": a whole number from ${least} to ${most}${most > 1 ? ", or two for rows and columns" : ""}.`,
    );
  }
  return [numbers[0], numbers[numbers.length - 1]];
}

const pairText = (value) =>
  typeof value === "string" ? value : value[0] === value[1] ? String(value[0]) : value.join(", ");

function settingFields(s) {
  const e = s.e,
    pooling = isPooling(e);
  const one = (text, name, most) => {
    if (!/^\s*\d+\s*$/.test(text) || Number(text) < 1 || Number(text) > most)
      throw new BadLayer(name, `"${text}": one whole number from 1 to ${most}.`);
    return Number(text);
  };
  const fields = [
    ["in_channels", "channels", e.x.length, (t) => reshape(s, { channels: one(t, "in_channels", 8) })],
    [
      "input",
      "rows, columns",
      `${e.x[0].length}, ${e.x[0][0].length}`,
      (t) => {
        const [height, width] = readPair(t, "input", 1, 16);
        return reshape(s, { height, width });
      },
    ],
    !pooling && [
      "out_channels",
      "filters",
      channelsOut(e),
      (t) => reshape(s, { filters: one(t, "out_channels", 8) }),
    ],
    [
      "kernel_size",
      "kernel size",
      pairText(kernelSize(e)),
      (t) => reshape(s, { kernel: readPair(t, "kernel_size", 1, 7) }),
    ],
    ["stride", "stride", pairText(e.stride), (t) => ({ stride: readPair(t, "stride", 1, 9) })],
    [
      "padding",
      "padding",
      pairText(e.padding),
      (t) => {
        const word = t.trim().toLowerCase();
        if (e.kind === "conv" && (word === "same" || word === "valid")) return { padding: word };
        try {
          return { padding: readPair(t, "padding", 0, 9) };
        } catch {
          throw new BadLayer(
            "padding",
            `"${t}": a whole number from 0 to 9${e.kind === "conv" ? ', "same" or "valid"' : ""}.`,
          );
        }
      },
    ],
    e.kind !== "avg_pool" && [
      "dilation",
      "dilation",
      pairText(e.dilation),
      (t) => ({ dilation: readPair(t, "dilation", 1, 6) }),
    ],
    !pooling && ["groups", "groups", e.groups, (t) => reshape(s, { groups: one(t, "groups", 8) })],
    e.kind === "conv_transpose" && [
      "output_padding",
      "output padding",
      pairText(e.output_padding),
      (t) => ({ output_padding: readPair(t, "output_padding", 0, 8) }),
    ],
  ];
  return fields.filter(Boolean);
}

function drawField(s, [name, label, value, read]) {
  const problem = s.errors[name];
  const input = make("input", {
    value: s.typed[name] ?? String(value),
    "aria-label": label,
    "data-field": name,
    autocomplete: "off",
    "aria-invalid": problem ? "true" : null,
  });
  const apply = () => {
    if (input.value === String(value) && !problem) return;
    s.typed[name] = input.value;
    try {
      const patch = read(input.value);
      change(s, patch, name);
    } catch (found) {
      if (!(found instanceof BadLayer)) throw found;
      s.errors = { [found.field]: found.message };
      draw(s, name);
    }
  };
  input.oninput = apply;
  input.onkeydown = (event) => {
    const step = { ArrowUp: 1, ArrowDown: -1 }[event.key];
    if (!step || !/^\s*\d+\s*$/.test(input.value)) return;
    event.preventDefault();
    input.value = String(Number(input.value) + step);
    apply();
  };
  return make(
    "label",
    { class: "field", "aria-invalid": problem ? "true" : null },
    make("span", {}, label),
    input,
    problem ? make("span", { class: "problem", role: "alert" }, problem) : null,
  );
}

function drawSettings(s) {
  const e = s.e;
  const check = (label, on, action) =>
    make(
      "label",
      { class: "check" },
      make("input", { type: "checkbox", checked: on, onchange: (ev) => action(ev.target.checked) }),
      label,
    );
  const choice = (label, options, value, action) =>
    make(
      "label",
      { class: "field" },
      make("span", {}, label),
      make(
        "select",
        { "aria-label": label, onchange: (ev) => action(ev.target.value) },
        ...Object.entries(options).map(([key, text]) => {
          const o = make("option", { value: key }, text);
          o.selected = key === value;
          return o;
        }),
      ),
    );
  const presets = { "": "your own", ...Object.fromEntries(s.presets.map((p) => [p.name, p.title])) };
  const attempt = (patch, field) => {
    try {
      change(s, patch(), field);
    } catch (p) {
      if (!(p instanceof BadLayer)) throw p;
      s.errors = { [p.field]: p.message };
      draw(s, field);
    }
  };
  return [
    make(
      "div",
      { class: "bar" },
      choice("exercise", presets, s.preset, (name) => {
        s.preset = name;
        const chosen = s.presets.find((p) => p.name === name);
        if (chosen) adopt(s, { ...chosen.exercise, predict: s.predict });
        else draw(s);
        s.report();
      }),
      choice("layer", KINDS, e.kind, (kind) => {
        s.preset = "";
        attempt(() => reshape(s, { kind }));
      }),
      check("predict first", s.predict, (on) => {
        s.predict = on;
        pause(s);
        forgetAnswers(s);
        draw(s);
        s.report();
      }),
    ),
    make(
      "div",
      { class: "bar settings" },
      ...settingFields(s).map((field) => drawField(s, field)),
      e.kind === "conv"
        ? choice(
            "padding mode",
            { zeros: "zeros", reflect: "reflect", replicate: "replicate", circular: "circular" },
            e.padding_mode,
            (mode) => change(s, { padding_mode: mode }, "padding_mode"),
          )
        : null,
      !isPooling(e)
        ? check("bias", Boolean(e.bias), (on) => change(s, { bias: on ? Array(channelsOut(e)).fill(0) : null }))
        : null,
      isPooling(e) ? check("ceil mode", e.ceil_mode, (on) => change(s, { ceil_mode: on })) : null,
      e.kind === "avg_pool"
        ? check("count the padding", e.count_include_pad, (on) => change(s, { count_include_pad: on }))
        : null,
    ),
  ];
}

// ---------------------------------------------------------------- drawing

function draw(s, focused) {
  const active = s.root.getRootNode().activeElement;
  const keep = focused ?? active?.dataset?.field,
    caret = active?.selectionStart;
  s.root.replaceChildren(...drawSettings(s), drawQuestion(s), drawStage(s), drawPlayer(s));
  s.root.classList.toggle("stale", Object.keys(s.errors).length > 0);
  const again = keep && s.root.querySelector(`[data-field="${keep}"]`);
  if (again) {
    again.focus({ preventScroll: true });
    if (caret !== undefined && again.setSelectionRange) again.setSelectionRange(caret, caret);
  }
  paint(s);
}

function drawQuestion(s) {
  const chosen = s.presets.find((p) => p.name === s.preset);
  const stray = Object.entries(s.errors).filter(
    ([name]) => !s.root.querySelector(`[data-field="${name}"]`) && !settingFields(s).some(([n]) => n === name),
  );
  const parts = stray.map(([, text]) => make("p", { class: "problem", role: "alert" }, text));
  if (Object.keys(s.errors).length)
    parts.push(make("p", { class: "quiet" }, "Below stands the last good result, before that change."));
  if (chosen) {
    parts.push(make("p", {}, chosen.question));
    if (!s.predict || s.revealed) {
      parts.push(make("p", { class: "answer" }, make("strong", {}, "Answer: "), chosen.answer));
      if (chosen.wrong) parts.push(make("p", {}, make("strong", {}, "What went wrong: "), chosen.wrong));
    }
  }
  return make("div", { class: parts.length ? "note" : "" }, ...parts);
}

function channelName(e, c) {
  return e.x.length === 3 ? "RGB"[c] : e.x.length === 1 ? "input" : `channel ${c + 1}`;
}

function heat(value, most) {
  return most > 0 && Number.isFinite(value) ? Math.round((46 * Math.abs(value)) / most) : 0;
}

/** The part of the padded plane that is shown: first and last row or column, in coordinates of the input. */
function shownRange(s, axis) {
  const e = s.good.e,
    length = (axis ? e.x[0][0] : e.x[0]).length;
  if (e.kind === "conv_transpose") return [0, length];
  const [before, after] = paddingsOf(e)[axis];
  const out = axis ? s.good.out[0][0].length : s.good.out[0].length;
  return [-before, Math.max(length + after, (out - 1) * e.stride[axis] + extentOf(e)[axis] - before)];
}

function drawStage(s) {
  const { e, out } = s.good;
  const [top, bottom] = shownRange(s, 0),
    [left, right] = shownRange(s, 1);
  const rows = e.x.length * Math.max(bottom - top, kernelSize(e)[0]);
  const longest = Math.max(
    ...e.x
      .flat(2)
      .concat(out.flat(2))
      .filter(Number.isFinite)
      .map((v) => shown(v).length),
    2,
  );
  // Larger on a projector: everything grows with the window, up to one and a half times.
  const scale = Math.max(1, Math.min(1.5, window.innerWidth / 1366));
  s.cell = Math.max(
    26,
    Math.round(
      scale * Math.min(44, Math.floor(384 / Math.max(rows, out[0].length)), Math.floor(330 / (right - left))),
    ),
  );
  const stage = make("div", {
    class: "stage",
    style:
      `--cell:${s.cell}px; --scale:${scale}; --wide:${Math.max(Math.round(52 * scale), s.cell)}px; ` +
      `--digits:${Math.min(15 * scale, Math.max(9, Math.floor((s.cell - 4) / longest / 0.56)))}px`,
  });
  const channels = make("div", { class: "channels" });
  s.inputCells = [];
  s.kernelCells = [];
  s.productCells = [];
  s.frames = [];
  s.rows = [];
  e.x.forEach((_, c) => channels.append(drawChannel(s, c, [top, bottom], [left, right])));
  s.written = make("div", { class: "written" });
  stage.append(channels, make("div", { class: "side" }, drawOutputs(s), s.written));
  return stage;
}

function drawChannel(s, c, [top, bottom], [left, right]) {
  const { e } = s.good,
    hue = HUES[e.x.length === 1 ? 2 : c];
  const height = e.x[0].length,
    width = e.x[0][0].length;
  const most = Math.max(...e.x.flat(2).map(Math.abs), 1e-9);
  const unread = [new Set(unreadOf(e, 0)), new Set(unreadOf(e, 1))];
  const grid = make("div", {
    class: "grid",
    role: "grid",
    "aria-label": `input ${channelName(e, c)}`,
    style: `grid-template-columns:repeat(${right - left}, var(--cell)); --hue:${hue}`,
  });
  const cells = new Map();
  for (let r = top; r < bottom; r++)
    for (let q = left; q < right; q++) {
      const inside = r >= 0 && r < height && q >= 0 && q < width;
      const left_over = unread[0].has(r - top) || unread[1].has(q - left);
      let cell;
      if (inside) {
        cell = drawNumber(
          s,
          e.x[c][r][q],
          (x) => setIn(s, "x", [c, r, q], x),
          `${channelName(e, c)}, row ${r + 1}, column ${q + 1}`,
          `x.${c}.${r}.${q}`,
        );
        cell.style.setProperty("--heat", heat(e.x[c][r][q], most));
        cell.onpointerenter = () => feed(s, c, r, q);
        cell.onpointerleave = () => paint(s);
      } else {
        const [pads_v, pads_h] = paddingsOf(e);
        const beyond = r >= height + pads_v[1] || q >= width + pads_h[1];
        const from = [insideOf(e, r, height), insideOf(e, q, width)];
        const value = from[0] !== null && from[1] !== null ? e.x[c][from[0]][from[1]] : 0;
        cell = make(
          "div",
          {
            class: beyond ? "cell void" : "cell pad",
            "data-value": beyond || e.kind === "max_pool" ? null : value,
            title: beyond ? "beyond the input: ceil mode only" : "padding",
          },
          beyond || e.kind === "max_pool" ? "·" : shown(value),
        );
      }
      if (left_over) {
        cell.classList.add("unread");
        cell.title = "no window reads this cell";
      }
      cells.set(`${r},${q}`, cell);
      grid.append(cell);
    }
  const frame = make("div", { class: "frame" });
  if (e.kind === "conv_transpose") frame.style.display = "none";
  else grid.append(frame);
  s.frames[c] = frame;
  s.inputCells[c] = cells;
  const size = `${height} × ${width}`;
  const row = make("div", { class: "channel", style: `--hue:${hue}` }, titled(`${channelName(e, c)}  ${size}`, grid));
  s.rows[c] = row;
  const slot = make("div", { style: "display:contents" });
  row.append(slot);
  s.slots ??= [];
  s.slots[c] = slot;
  return row;
}

function titled(text, ...children) {
  return make("div", { class: "titled" }, make("div", { class: "title" }, text), ...children);
}

/** Kernel and products of one channel for the filter that is looked at; drawn again only when the filter changes. */
function drawKernels(s) {
  const { e } = s.good,
    o = s.at[0],
    [kh, kw] = kernelSize(e),
    mine = channelsFor(e, o);
  s.kernelsFor = o;
  e.x.forEach((_, c) => {
    s.kernelCells[c] = [];
    s.productCells[c] = [];
    if (!mine.includes(c)) {
      s.slots[c].replaceChildren(
        make(
          "span",
          { class: "apart" },
          isPooling(e) ? "each channel by itself: choose its output" : `not in the group of filter ${o + 1}`,
        ),
      );
      return;
    }
    const kernel = make("div", {
      class: "grid",
      role: "grid",
      "aria-label": `kernel ${channelName(e, c)}`,
      style: `grid-template-columns:repeat(${kw}, var(--cell))`,
    });
    const products = make("div", {
      class: "grid products",
      style: `grid-template-columns:repeat(${kw}, var(--wide))`,
    });
    for (let ky = 0; ky < kh; ky++)
      for (let kx = 0; kx < kw; kx++) {
        if (!isPooling(e)) {
          const at =
            e.kind === "conv_transpose"
              ? [c, o % (channelsOut(e) / e.groups), ky, kx]
              : [o, c % (e.x.length / e.groups), ky, kx];
          const cell = drawNumber(
            s,
            weightAt(e, o, c, ky, kx),
            (w) => setIn(s, "weight", at, w),
            `kernel of ${channelName(e, c)}, row ${ky + 1}, column ${kx + 1}`,
            `w.${at.join(".")}`,
          );
          s.kernelCells[c].push(cell);
          kernel.append(cell);
        }
        const cell = make("div", { class: "cell", "data-tap": `${c}.${ky}.${kx}` });
        s.productCells[c].push(cell);
        products.append(cell);
      }
    const name = isPooling(e) ? "window" : "product, running sum";
    const total = make("span", { class: "total mono", "data-total": c });
    s.slots[c].replaceChildren(
      ...(isPooling(e)
        ? [make("span", { class: "sign" }, "→")]
        : [
            make("span", { class: "sign" }, "∗"),
            titled(`filter ${o + 1}, ${channelName(e, c)}`, kernel),
            make("span", { class: "sign" }, "="),
          ]),
      titled(name, products),
      total,
    );
  });
}

function drawOutputs(s) {
  const { e, out } = s.good;
  const box = make("div", { class: "outputs" });
  s.outputCells = [];
  if (s.predict && !s.sizeKnown && !s.revealed) {
    box.append(drawSizeQuestion(s));
    return box;
  }
  const most = Math.max(...out.flat(2).filter(Number.isFinite).map(Math.abs), 1e-9);
  out.forEach((plane, o) => {
    const grid = make("div", {
      class: "grid",
      role: "grid",
      "aria-label": `output ${o + 1}`,
      style:
        `grid-template-columns:repeat(${plane[0].length}, var(--cell)); ` +
        `--hue:${HUES[isPooling(e) && e.x.length > 1 ? o : 5]}`,
    });
    s.outputCells[o] = plane.map((row, i) =>
      row.map((value, j) => {
        const cell = drawOutput(s, o, i, j, value, most);
        grid.append(cell);
        return cell;
      }),
    );
    const name = isPooling(e) && out.length > 1 ? channelName(e, o) : out.length > 1 ? `filter ${o + 1}` : "output";
    const bias =
      e.bias && !isPooling(e)
        ? make(
            "label",
            { class: "title" },
            "bias ",
            drawNumber(s, e.bias[o], (b) => setIn(s, "bias", [o], b), `bias of filter ${o + 1}`, `b.${o}`),
          )
        : null;
    if (bias) bias.lastChild.style.display = "inline-flex";
    const part = titled(`${name}  ${plane.length} × ${plane[0].length}`, grid, bias);
    part.dataset.filter = o;
    box.append(part);
  });
  box.append(make("div", { class: "quiet", style: "flex-basis:100%" }, formula(s)));
  if (s.predict && !s.revealed) {
    const right = [...s.answers.values()].filter((a) => a.right).length;
    box.append(
      make(
        "div",
        { class: "bar", style: "flex-basis:100%" },
        make(
          "span",
          { role: "status" },
          `${right} of ${out.flat(2).length} right, ${s.answers.size} answered. Type into a cell and press Enter.`,
        ),
        make(
          "button",
          {
            onclick: () => {
              s.revealed = true;
              draw(s);
            },
          },
          "Show all",
        ),
      ),
    );
  }
  return box;
}

function drawSizeQuestion(s) {
  const out = s.good.out,
    size = [out[0].length, out[0][0].length];
  const inputs = ["rows", "columns"].map((name, axis) =>
    make("input", {
      "aria-label": `your ${name}`,
      inputmode: "numeric",
      "data-field": `guess.${name}`,
      value: s.sizeTyped?.[axis] ?? "",
    }),
  );
  const check = () => {
    s.sizeTyped = inputs.map((input) => input.value);
    if (s.sizeTyped.every((text, axis) => Number(text) === size[axis] && text.trim() !== "")) {
      s.sizeKnown = true;
      draw(s);
    } else
      said.textContent = s.sizeTyped.some((t) => !/^\s*\d+\s*$/.test(t))
        ? "Type two whole numbers."
        : `Not ${s.sizeTyped.join(" × ")}. Try again, or go on to see the size.`;
  };
  const said = make("span", { class: "problem", role: "status" });
  for (const input of inputs)
    input.onkeydown = (event) => {
      if (event.key === "Enter") check();
    };
  return make(
    "div",
    { class: "note" },
    make("p", {}, make("strong", {}, "Predict first: how large is the output?")),
    make(
      "div",
      { class: "bar" },
      ...inputs.map((input, axis) =>
        make("label", { class: "field" }, make("span", {}, ["rows", "columns"][axis]), input),
      ),
      make("button", { onclick: check }, "Check"),
      make(
        "button",
        {
          onclick: () => {
            s.sizeKnown = true;
            draw(s);
          },
        },
        "Go on",
      ),
    ),
    said,
  );
}

function hidden(s, o, i, j) {
  return s.predict && !s.revealed && !s.answers.has(`${o},${i},${j}`);
}

function drawOutput(s, o, i, j, value, most) {
  const choose = () => {
    pause(s);
    look(s, [o, i, j]);
    s.report();
  };
  const name = `output ${o + 1}, row ${i + 1}, column ${j + 1}`;
  let cell;
  if (hidden(s, o, i, j)) {
    cell = make("input", {
      class: "cell",
      placeholder: "?",
      "aria-label": `${name}: your answer`,
      "data-field": `o.${o}.${i}.${j}`,
      autocomplete: "off",
    });
    const commit = () => {
      const typed = readNumber(cell.value);
      cell.setAttribute("aria-invalid", typed === null && cell.value.trim() ? "true" : "false");
      if (typed === null) return;
      s.answers.set(`${o},${i},${j}`, {
        typed,
        right: Math.abs(typed - value) <= 0.005 * Math.max(1, Math.abs(value)),
      });
      draw(s);
    };
    cell.onfocus = choose;
    cell.onkeydown = (event) => {
      if (event.key === "Enter") commit();
      else if (event.key.startsWith("Arrow")) arrows(s, event, o, i, j);
    };
  } else {
    const answer = s.answers.get(`${o},${i},${j}`);
    cell = make(
      "button",
      {
        class: "cell",
        "data-value": value,
        "aria-label": `${name}: ${shown(value)}`,
        onclick: choose,
        tabindex: "-1",
        "data-field": `o.${o}.${i}.${j}`,
      },
      shown(value),
    );
    cell.style.setProperty("--heat", heat(value, most));
    if (s.predict && answer) {
      cell.classList.add(answer.right ? "correct" : "mistaken");
      cell.title = answer.right ? "right" : `you wrote ${shown(answer.typed)}`;
    }
    cell.onkeydown = (event) => arrows(s, event, o, i, j);
  }
  cell.onpointerenter = (event) => {
    if (!s.playing && event.pointerType === "mouse") look(s, [o, i, j]);
  };
  return cell;
}

function arrows(s, event, o, i, j) {
  const move = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
  const next = move && s.outputCells[o]?.[i + move[0]]?.[j + move[1]];
  if (!next) return;
  event.preventDefault();
  look(s, [o, i + move[0], j + move[1]]);
  next.focus();
  s.report();
}

/** "⌊(4 + 2·1 − 3)/1⌋ + 1 = 4 rows": the size with the numbers put in. */
function formula(s) {
  const { e, out } = s.good;
  return [out[0].length, out[0][0].length]
    .map((n, axis) => {
      const length = (axis ? e.x[0][0] : e.x[0]).length,
        k = kernelSize(e)[axis],
        d = e.dilation[axis];
      const [before, after] = paddingsOf(e)[axis],
        pads = before + after;
      const reach = d === 1 ? `${k}` : `(${d}·(${k} − 1) + 1)`;
      if (e.kind === "conv_transpose")
        return (
          `(${length} − 1)·${e.stride[axis]}${pads ? ` − ${pads}` : ""} + ` +
          `${reach}${e.output_padding[axis] ? ` + ${e.output_padding[axis]}` : ""} = ${n} ${SIDES[axis]}`
        );
      const [open, close] = isPooling(e) && e.ceil_mode ? "⌈⌉" : "⌊⌋";
      return (
        `${open}(${length}${pads ? ` + ${pads}` : ""} − ${reach})/${e.stride[axis]}${close} + 1 = ${n} ` +
        `${SIDES[axis]}`
      );
    })
    .join(";  ");
}

// ---------------------------------------------------------------- cells that can be typed into

function setIn(s, name, at, value) {
  const copy = structuredClone(s.e[name]);
  let list = copy;
  for (const index of at.slice(0, -1)) list = list[index];
  list[at[at.length - 1]] = value;
  s.preset = "";
  change(s, { [name]: copy });
}

function drawNumber(s, value, set, label, field) {
  const cell = make("input", {
    class: "cell",
    value: shown(value),
    "data-value": value,
    "aria-label": label,
    "data-field": field,
    inputmode: "decimal",
    autocomplete: "off",
    spellcheck: "false",
  });
  const problem = (text) => {
    cell.setAttribute("aria-invalid", text ? "true" : "false");
    let note = s.root.querySelector(".cellproblem");
    if (!note)
      s.root.querySelector(".stage").before((note = make("div", { class: "problem cellproblem", role: "alert" })));
    note.textContent = text;
  };
  cell.onfocus = () => cell.select();
  cell.onchange = () => {
    const typed = readNumber(cell.value);
    if (typed === null)
      problem(`${label}: "${cell.value}" is not a number. Write one like 2, -0.5 or 1/9; the last result stays.`);
    else if (shown(typed) !== shown(value) || typed !== value) set(typed);
    else problem("");
  };
  cell.onpaste = (event) => pasteBlock(s, event, field);
  cell.onkeydown = (event) => {
    const move = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1], Enter: [1, 0] }[
      event.key
    ];
    if (event.key === "Escape") {
      cell.value = shown(value);
      problem("");
    }
    if (!move) return;
    const whole = cell.selectionStart === 0 && cell.selectionEnd === cell.value.length;
    const edge =
      move[1] === 0 || whole || (move[1] < 0 ? cell.selectionEnd === 0 : cell.selectionStart === cell.value.length);
    if (!edge) return;
    event.preventDefault();
    const parts = field.split("."),
      n = parts.length;
    const to = [...parts.slice(0, n - 2), Number(parts[n - 2]) + move[0], Number(parts[n - 1]) + move[1]].join(".");
    if (readNumber(cell.value) === null) {
      cell.onchange();
      return;
    }
    const target = s.root.querySelector(`[data-field="${to}"]`);
    if (cell.value !== shown(value)) cell.onchange();
    (s.root.querySelector(`[data-field="${to}"]`) ?? s.root.querySelector(`[data-field="${field}"]`))?.focus();
  };
  return cell;
}

/** A block copied from a spreadsheet fills the cells from this one on. */
function pasteBlock(s, event, field) {
  const rows = event.clipboardData
    .getData("text")
    .trim()
    .split(/\r?\n|;/)
    .map((row) => row.trim().split(/[\t, ]+/));
  if (rows.length === 1 && rows[0].length === 1) return;
  event.preventDefault();
  const [name, ...at] = field.split("."),
    key = { x: "x", w: "weight", b: "bias" }[name],
    path = at.map(Number);
  const copy = structuredClone(s.e[key]);
  const plane = path.slice(0, -2).reduce((list, index) => list[index], copy);
  rows.forEach((row, r) =>
    row.forEach((text, q) => {
      const value = readNumber(text),
        line = plane[path.at(-2) + r];
      if (value !== null && line && path.at(-1) + q < line.length) line[path.at(-1) + q] = value;
    }),
  );
  s.preset = "";
  change(s, { [key]: copy }, field);
}

// ---------------------------------------------------------------- what is looked at

function look(s, at) {
  s.at = at;
  paint(s);
}

function clearMarks(s) {
  for (const cell of s.marked ?? []) cell.classList.remove("tap", "at", "fed", "winner");
  s.marked = [];
}

function mark(s, cell, ...names) {
  if (!cell) return;
  cell.classList.add(...names);
  s.marked.push(cell);
}

/** Everything that belongs to the output cell that is looked at. Only classes and texts change: once a frame. */
function paint(s) {
  const { e, out } = s.good,
    [o, i, j] = s.at,
    secret = hidden(s, o, i, j);
  if (s.kernelsFor !== o || !s.slots[0].childNodes.length) drawKernels(s);
  clearMarks(s);
  const plane = out[o][i][j],
    [kh, kw] = kernelSize(e);
  const sums = new Map(),
    lines = new Map();
  let running = 0;
  for (const cells of s.productCells)
    for (const cell of cells ?? []) {
      cell.replaceChildren();
      delete cell.dataset.product;
      cell.classList.remove("winner");
    }
  eachTerm(e, o, i, j, (c, ky, kx, row, column, x, w) => {
    const product = isPooling(e) ? x : x * w;
    running += product;
    sums.set(c, (sums.get(c) ?? 0) + product);
    (lines.get(c) ?? lines.set(c, []).get(c)).push(isPooling(e) ? shown(x) : `${bracket(x)}·${bracket(w)}`);
    const cell = s.productCells[c][ky * kw + kx];
    cell.dataset.product = product;
    if (isPooling(e)) cell.replaceChildren(shown(x));
    else
      cell.replaceChildren(
        make("small", {}, `${bracket(x)}·${bracket(w)}`),
        secret ? "?" : shown(product),
        make("small", {}, secret ? "" : `Σ ${shown(running)}`),
      );
    if (e.kind === "max_pool" && x === plane && !secret) mark(s, cell, "winner");
    if (row !== null) mark(s, s.inputCells[c].get(`${row},${column}`), "tap");
    else
      mark(
        s,
        s.inputCells[c].get(
          [i * e.stride[0] + ky * e.dilation[0], j * e.stride[1] + kx * e.dilation[1]]
            .map((at, axis) => at - paddingsOf(e)[axis][0])
            .join(),
        ),
        "tap",
      );
  });
  slideFrames(s, i, j);
  mark(s, s.outputCells[o]?.[i]?.[j], "at");
  for (const part of s.root.querySelectorAll(".outputs .titled"))
    part.classList.toggle("chosen", Number(part.dataset.filter) === o);
  for (const total of s.root.querySelectorAll("[data-total]")) {
    const value = sums.get(Number(total.dataset.total)) ?? 0;
    total.textContent = isPooling(e) ? "" : secret ? "= ?" : `= ${shown(value)}`;
    total.dataset.value = secret ? "" : value;
  }
  write(s, sums, lines, secret);
  if (s.scrub) {
    s.scrub.value = String(flatIndex(s));
    s.where.textContent =
      `row ${i + 1}, column ` +
      `${j + 1}${out.length > 1 ? `, ${isPooling(e) ? "channel" : "filter"} ${o + 1}` : ""}`;
  }
}

function slideFrames(s, i, j) {
  const { e } = s.good;
  if (e.kind === "conv_transpose") return;
  const [height, width] = extentOf(e),
    mine = channelsFor(e, s.at[0]);
  s.frames.forEach((frame, c) => {
    frame.style.display = mine.includes(c) ? "" : "none";
    frame.style.width = `${width * s.cell}px`;
    frame.style.height = `${height * s.cell}px`;
    frame.style.setProperty("--glide", s.playing ? `${Math.min(140, 700 / s.speed)}ms` : "90ms");
    frame.style.transform = `translate(${j * e.stride[1] * s.cell}px, ${i * e.stride[0] * s.cell}px)`;
  });
}

/** The sum, channel by channel and added up. */
function write(s, sums, lines, secret) {
  const { e, out } = s.good,
    [o, i, j] = s.at,
    value = out[o][i][j];
  const parts = [],
    answer = secret ? "?" : shown(value);
  const all = (texts) => (texts.length ? texts : ["nothing: no cell is read here"]);
  if (e.kind === "max_pool")
    parts.push(make("div", { class: "mono" }, `max(${all(lines.get(o) ?? []).join(", ")}) = ${answer}`));
  else if (e.kind === "avg_pool")
    parts.push(
      make(
        "div",
        { class: "mono" },
        `(${all(lines.get(o) ?? []).join(" + ")}) / ${secret ? "?" : divisorOf(e, i, j)} = ${answer}`,
      ),
    );
  else {
    for (const [c, texts] of lines) {
      const name = make("strong", { style: `color:${HUES[e.x.length === 1 ? 2 : c]}` }, `${channelName(e, c)}: `);
      parts.push(make("div", { class: "mono" }, name, `${texts.join(" + ")} = ${secret ? "?" : shown(sums.get(c))}`));
    }
    const added = [...lines.keys()].map((c) => `${channelName(e, c)} ${secret ? "?" : shown(sums.get(c))}`);
    if (e.bias) added.push(`bias ${shown(e.bias[o])}`);
    if (!added.length) added.push("no input cell reaches here: 0");
    parts.push(make("div", { class: "sum", "data-result": secret ? "" : value }, `${added.join(" + ")} = ${answer}`));
  }
  s.written.replaceChildren(...parts);
}

/** An input cell is pointed at: show what it feeds. */
function feed(s, c, row, column) {
  if (s.playing) return;
  const { e, out } = s.good,
    fed = fedBy(e, row, column),
    o = s.at[0];
  clearMarks(s);
  mark(s, s.inputCells[c].get(`${row},${column}`), "fed");
  const mine = channelsFor(e, o).includes(c);
  for (const [i, j, ky, kx] of fed) {
    out.forEach((_, filter) => {
      if (channelsFor(e, filter).includes(c)) mark(s, s.outputCells[filter]?.[i]?.[j], "fed");
    });
    if (mine) mark(s, s.kernelCells[c]?.[ky * kernelSize(e)[1] + kx], "fed");
  }
  const x = e.x[c][row][column];
  const words = fed.map(([i, j, ky, kx]) =>
    isPooling(e)
      ? `(${i + 1}, ${j + 1})`
      : `(${i + 1}, ${j + 1}) with ${bracket(x)}·${mine ? bracket(weightAt(e, o, c, ky, kx)) : "w"}`,
  );
  s.written.replaceChildren(
    make(
      "div",
      {},
      make("strong", {}, `${channelName(e, c)} (${row + 1}, ${column + 1}) = ${shown(x)} `),
      fed.length
        ? `feeds ${fed.length} output cell${fed.length > 1 ? "s" : ""} (row, column): ${words.join(";  ")}`
        : "feeds no output cell.",
    ),
  );
  s.written.dataset.fed = fed.length;
}

// ---------------------------------------------------------------- playing

function flatIndex(s) {
  const [o, i, j] = s.at,
    plane = s.good.out[0];
  return (o * plane.length + i) * plane[0].length + j;
}

function atIndex(s, index) {
  const plane = s.good.out[0],
    area = plane.length * plane[0].length,
    total = s.good.out.length * area;
  const n = ((index % total) + total) % total;
  return [Math.floor(n / area), Math.floor((n % area) / plane[0].length), n % plane[0].length];
}

function drawPlayer(s) {
  const total = s.good.out.flat(2).length;
  const step = (by) => () => {
    pause(s);
    look(s, atIndex(s, flatIndex(s) + by));
    s.report();
  };
  s.playButton = make(
    "button",
    { onclick: () => (s.playing ? pause(s) : play(s)), "data-field": "play", "aria-label": "play or pause" },
    s.playing ? "⏸ Pause" : "▶ Play",
  );
  s.scrub = make("input", {
    type: "range",
    min: 0,
    max: total - 1,
    step: 1,
    "aria-label": "output cell",
    "data-field": "scrub",
    value: String(flatIndex(s)),
    oninput: (ev) => {
      pause(s);
      look(s, atIndex(s, Number(ev.target.value)));
      s.report();
    },
  });
  s.where = make("span", { class: "quiet mono", role: "status" });
  const speed = make("input", {
    type: "range",
    min: 0,
    max: 5,
    step: 0.25,
    "aria-label": "speed",
    value: String(Math.log2(s.speed)),
    oninput: (ev) => {
      s.speed = 2 ** Number(ev.target.value);
    },
    style: "width:90px",
  });
  return make(
    "div",
    { class: "bar player" },
    make("button", { onclick: step(-1), "data-field": "back", "aria-label": "one cell back" }, "◀"),
    s.playButton,
    make("button", { onclick: step(1), "data-field": "on", "aria-label": "one cell on" }, "▶|"),
    s.scrub,
    s.where,
    make("label", { class: "check quiet" }, "speed", speed),
  );
}

function play(s) {
  s.playing = true;
  s.playButton.textContent = "⏸ Pause";
  let last = performance.now();
  const tick = (now) => {
    if (!s.playing || !s.root.isConnected) return;
    if (now - last >= 1000 / s.speed) {
      last = now;
      look(s, atIndex(s, flatIndex(s) + 1));
    }
    s.ticking = requestAnimationFrame(tick);
  };
  s.ticking = requestAnimationFrame(tick);
}

function pause(s) {
  if (!s.playing) return;
  s.playing = false;
  cancelAnimationFrame(s.ticking);
  if (s.playButton) s.playButton.textContent = "▶ Play";
  s.report?.();
}
