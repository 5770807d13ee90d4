// A kernel over a photo, and a patch of the photo as the kernel: both are calculated here, at every move.

const memory = new WeakMap();

export default function (component) {
  const { parentElement, data, setStateValue } = component;
  let s = memory.get(parentElement);
  if (!s) {
    s = { root: parentElement.querySelector(".root") };
    s.report = settled(
      () =>
        s.send("choice", {
          name: s.name,
          values: s.name ? null : s.values,
          patch: s.patch,
          normalized: s.normalized,
          kind: s.kind,
        }),
      350,
    );
    memory.set(parentElement, s);
  }
  s.send = setStateValue;
  if (s.revision === data.revision && s.predict === data.predict) return;
  Object.assign(s, { predict: data.predict, guesses: {} });
  if (s.revision === data.revision) return schedule(s, true);
  Object.assign(s, {
    revision: data.revision,
    kind: data.kind,
    width: data.width,
    height: data.height,
    kernels: data.kernels,
    pixels: Uint8Array.from(atob(data.pixels), (c) => c.charCodeAt(0)),
    name: data.name,
    values: data.values,
    normalized: data.normalized,
    cursor: [Math.floor(data.width / 2), Math.floor(data.height / 2)],
  });
  s.patch = fitPatch(s, data.patch);
  s.gray = new Float64Array(s.width * s.height);
  for (let i = 0; i < s.gray.length; i++)
    s.gray[i] = (0.299 * s.pixels[3 * i] + 0.587 * s.pixels[3 * i + 1] + 0.114 * s.pixels[3 * i + 2]) / 255;
  build(s);
}

function fitPatch(s, [x, y, side]) {
  side = Math.max(4, Math.min(48, side, s.width - 1, s.height - 1));
  return [Math.max(0, Math.min(s.width - side, x)), Math.max(0, Math.min(s.height - side, y)), side];
}

/** The photo under a kernel, as large as it was, its edge repeated outwards. */
function filterPhoto(gray, width, height, values) {
  const k = values.length,
    before = Math.floor((k - 1) / 2),
    out = new Float64Array(width * height);
  for (let ky = 0; ky < k; ky++)
    for (let kx = 0; kx < k; kx++) {
      const weight = values[ky][kx];
      if (!weight) continue;
      for (let y = 0; y < height; y++) {
        const row = Math.min(Math.max(y + ky - before, 0), height - 1) * width;
        for (let x = 0; x < width; x++)
          out[y * width + x] += weight * gray[row + Math.min(Math.max(x + kx - before, 0), width - 1)];
      }
    }
  return out;
}

/** Similarity of the patch to every place where it fits: Σ image · patch, or the correlation coefficient. */
function matchPatch(gray, width, height, [px, py, side], normalized) {
  const w = width - side + 1,
    h = height - side + 1,
    out = new Float64Array(w * h),
    n = side * side;
  const template = new Float64Array(n);
  let mean = 0;
  for (let y = 0; y < side; y++)
    for (let x = 0; x < side; x++) mean += template[y * side + x] = gray[(py + y) * width + px + x];
  mean /= n;
  let length = 0;
  if (normalized)
    for (let i = 0; i < n; i++) {
      template[i] -= mean;
      length += template[i] ** 2;
    }
  for (let y = 0; y < h; y++)
    for (let x = 0; x < w; x++) {
      let sum = 0,
        total = 0,
        squares = 0;
      for (let ty = 0; ty < side; ty++) {
        let at = (y + ty) * width + x,
          t = ty * side;
        for (let tx = 0; tx < side; tx++, at++, t++) {
          const value = gray[at];
          sum += value * template[t];
          total += value;
          squares += value * value;
        }
      }
      if (normalized) {
        const spread = Math.max(squares - (total * total) / n, 0) * length;
        sum = spread <= 1e-12 * n * n ? 0 : Math.max(-1, Math.min(1, sum / Math.sqrt(spread)));
      }
      out[y * w + x] = sum;
    }
  return { out, w, h };
}

function build(s) {
  const template = s.kind === "template";
  s.photo = canvasOf(s.width, s.height);
  const context = s.photo.getContext("2d"),
    image = context.createImageData(s.width, s.height);
  for (let i = 0; i < s.gray.length; i++) {
    for (let c = 0; c < 3; c++) image.data[4 * i + c] = template ? s.pixels[3 * i + c] : Math.round(255 * s.gray[i]);
    image.data[4 * i + 3] = 255;
  }
  context.putImageData(image, 0, 0);
  s.photo.setAttribute(
    "aria-label",
    template
      ? "photo: drag the patch, or move it with the arrow keys"
      : "photo: point at a place, or move with the arrow keys",
  );
  s.result = canvasOf(s.width, s.height);
  s.result.setAttribute("aria-label", "result");
  s.boxes = make("div", { class: "over" }, s.photo);
  s.resultBoxes = make("div", { class: "over" }, s.result);
  s.readout = make("div", { class: "readout mono", role: "status" });
  s.scale = make("div", { class: "scale" });
  s.middle = make("div", { class: "pane small" });
  s.note = make("div", { class: "quiet" });
  s.asked = make("div", { class: "asked", role: "status" });
  s.root.replaceChildren(
    template ? templateBar(s) : kernelBar(s),
    s.asked,
    make(
      "div",
      { class: "panes" },
      make(
        "div",
        { class: "pane" },
        make("h4", {}, template ? "Photo: drag the patch" : "Photo: point at a place"),
        s.boxes,
      ),
      s.middle,
      make(
        "div",
        { class: "pane" },
        make("h4", {}, template ? "Similarity of every place" : "Result"),
        s.resultBoxes,
        s.scale,
      ),
    ),
    s.readout,
    s.note,
  );
  const place = (shareX, shareY) => {
    const x = Math.floor(shareX * s.width),
      y = Math.floor(shareY * s.height);
    if (template) s.patch = fitPatch(s, [x - Math.floor(s.patch[2] / 2), y - Math.floor(s.patch[2] / 2), s.patch[2]]);
    else s.cursor = [Math.max(0, Math.min(s.width - 1, x)), Math.max(0, Math.min(s.height - 1, y))];
    schedule(s, template);
  };
  draggable(s.photo, place, () => s.report());
  const point = (event) => {
    const box = event.target.getBoundingClientRect();
    s.cursor = [
      Math.floor(((event.clientX - box.left) / box.width) * s.map.w),
      Math.floor(((event.clientY - box.top) / box.height) * s.map.h),
    ];
    s.cursor = [Math.max(0, Math.min(s.map.w - 1, s.cursor[0])), Math.max(0, Math.min(s.map.h - 1, s.cursor[1]))];
    schedule(s, false);
  };
  s.result.onpointermove = point;
  s.result.onpointerdown = (event) => {
    point(event);
    if (template && hiddenResult(s)) guessPlace(s);
  };
  if (!template)
    s.photo.onpointerenter = () => {
      s.photo.onpointermove = (event) => point(event);
    };
  s.photo.onkeydown = s.result.onkeydown = (event) => {
    if (event.key === "Enter" && template && event.target === s.result && hiddenResult(s)) guessPlace(s);
    const move = { ArrowUp: [0, -1], ArrowDown: [0, 1], ArrowLeft: [-1, 0], ArrowRight: [1, 0] }[event.key];
    if (!move) return;
    event.preventDefault();
    const moves = template && event.target === s.photo;
    if (moves) s.patch = fitPatch(s, [s.patch[0] + move[0], s.patch[1] + move[1], s.patch[2]]);
    else
      s.cursor = [
        Math.max(0, Math.min(s.map.w - 1, s.cursor[0] + move[0])),
        Math.max(0, Math.min(s.map.h - 1, s.cursor[1] + move[1])),
      ];
    schedule(s, moves);
    if (moves) s.report();
  };
  drawMiddle(s);
  calculate(s);
  askFirst(s);
  readOut(s);
}

function canvasOf(width, height) {
  const canvas = make("canvas", { tabindex: 0, role: "img" });
  canvas.width = width;
  canvas.height = height;
  return canvas;
}

/**
 * At most one calculation a frame, however fast the pointer moves. A new question (`again`) forgets what was guessed.
 */
function schedule(s, again, told = false) {
  s.again ||= again;
  s.told ||= told;
  if (again) s.guesses = {};
  if (s.waiting) return;
  s.waiting = requestAnimationFrame(() => {
    s.waiting = null;
    if (s.again && s.kind === "template") drawMiddle(s);
    if (s.again || s.told) {
      calculate(s);
      askFirst(s);
    }
    s.again = s.told = false;
    readOut(s);
  });
}

function kernelBar(s) {
  const names = s.kernels.map((k) => {
    const o = make("option", { value: k.name }, k.title);
    o.selected = k.name === s.name;
    return o;
  });
  const own = make("option", { value: "" }, "your own");
  own.selected = !s.name;
  const select = make(
    "select",
    {
      "aria-label": "kernel",
      onchange: () => {
        s.name = select.value;
        const known = s.kernels.find((k) => k.name === s.name);
        if (known) s.values = structuredClone(known.values);
        drawMiddle(s);
        schedule(s, true);
        s.report();
      },
    },
    ...names,
    own,
  );
  s.select = select;
  const resize = (side) => () => {
    const k = s.values.length,
      from = Math.floor((k - side) / 2);
    s.values = Array.from({ length: side }, (_, y) =>
      Array.from({ length: side }, (_, x) => s.values[y + from]?.[x + from] ?? 0),
    );
    edited(s);
    drawMiddle(s);
  };
  return make(
    "div",
    { class: "bar" },
    make("label", { class: "field" }, make("span", {}, "kernel"), select),
    make("button", { onclick: resize(3) }, "3 × 3"),
    make("button", { onclick: resize(5) }, "5 × 5"),
    make("button", { onclick: resize(7) }, "7 × 7"),
    make(
      "button",
      {
        onclick: () => {
          s.values = s.values.map((row) => row.map((v) => -v));
          edited(s);
          drawMiddle(s);
        },
      },
      "× −1",
    ),
    make(
      "button",
      {
        onclick: () => {
          s.values = s.values[0].map((_, x) => s.values.map((row) => row[x]));
          edited(s);
          drawMiddle(s);
        },
      },
      "transpose",
    ),
  );
}

function templateBar(s) {
  const shownSide = make("span", { class: "mono" }, `${s.patch[2]} × ${s.patch[2]}`);
  const size = make("input", {
    type: "range",
    min: 4,
    max: 48,
    value: String(s.patch[2]),
    "aria-label": "side of the patch",
    oninput: () => {
      s.patch = fitPatch(s, [s.patch[0], s.patch[1], Number(size.value)]);
      shownSide.textContent = `${s.patch[2]} × ${s.patch[2]}`;
      schedule(s, true);
      s.report();
    },
  });
  const box = make("input", {
    type: "checkbox",
    checked: s.normalized,
    onchange: () => {
      s.normalized = box.checked;
      schedule(s, true);
      s.report();
    },
  });
  return make(
    "div",
    { class: "bar" },
    make(
      "label",
      { class: "field" },
      make("span", {}, "side of the patch"),
      make("span", { class: "check" }, size, shownSide),
    ),
    make("label", { class: "check" }, box, "normalized: mean taken off, divided by the length"),
  );
}

function edited(s) {
  s.name = "";
  s.select.value = "";
  schedule(s, true);
  s.report();
}

function drawMiddle(s) {
  if (s.kind === "template") {
    const [x, y, side] = s.patch,
      small = canvasOf(side, side);
    small.className = "patch";
    small.getContext("2d").drawImage(s.photo, x, y, side, side, 0, 0, side, side);
    s.middle.replaceChildren(make("h4", {}, "The patch is the kernel"), small);
    return;
  }
  const k = s.values.length,
    most = Math.max(...s.values.flat().map(Math.abs), 1e-9);
  const grid = make("div", {
    class: k > 5 ? "weights many" : "weights",
    style: `grid-template-columns:repeat(${k}, auto)`,
  });
  const problem = make("div", { class: "problem", role: "alert" });
  s.values.forEach((row, y) =>
    row.forEach((value, x) => {
      const label = `kernel row ${y + 1}, column ${x + 1}`;
      const cell = make("input", {
        value: shown(value),
        "aria-label": label,
        autocomplete: "off",
        onfocus: () => cell.select(),
        onchange: () => {
          const typed = readNumber(cell.value);
          cell.setAttribute("aria-invalid", typed === null ? "true" : "false");
          problem.textContent =
            typed === null ? `${label}: "${cell.value}" is not a number. Write one like 2, -0.5 or 1/9.` : "";
          if (typed === null || typed === s.values[y][x] || cell.value === shown(s.values[y][x])) return;
          s.values[y][x] = typed;
          tint(cell, typed, most);
          edited(s);
        },
      });
      tint(cell, value, most);
      grid.append(cell);
    }),
  );
  s.middle.replaceChildren(make("h4", {}, "Kernel"), grid, problem);
}

function tint(cell, value, most) {
  cell.style.setProperty("--tint", value < 0 ? "#3b82f6" : "#e8710a");
  cell.style.setProperty("--share", `${Math.min(60, Math.round((60 * Math.abs(value)) / most))}%`);
}

function calculate(s) {
  if (s.kind === "template") {
    s.map = matchPatch(s.gray, s.width, s.height, s.patch, s.normalized);
  } else {
    s.map = { out: filterPhoto(s.gray, s.width, s.height, s.values), w: s.width, h: s.height };
    const known = s.kernels.find((k) => k.name === s.name);
    s.note.textContent = hiddenResult(s)
      ? ""
      : known
        ? known.note
        : `The kernel's numbers add up to ${shown(s.values.flat().reduce((a, b) => a + b, 0))}.`;
  }
  const { out, w, h } = s.map;
  let low = Infinity,
    high = -Infinity;
  for (const value of out) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  s.low = low;
  s.high = high;
  const total = s.kind === "kernel" ? Math.abs(s.values.flat().reduce((a, b) => a + b, 0)) : 0;
  const signed = s.kind === "template" ? s.normalized : total < 1e-9;
  const most = Math.max(Math.abs(low), Math.abs(high), 1e-12);
  s.result.width = w;
  s.result.height = h;
  s.scale.replaceChildren();
  if (hiddenResult(s)) return drawCover(s);
  const image = s.result.getContext("2d").createImageData(w, h);
  for (let i = 0; i < out.length; i++) {
    // Signed maps are gray at zero with orange above and blue below, on one scale; the others are black to white.
    const v = signed
      ? out[i] / most
      : s.kind === "template"
        ? (out[i] - low) / (high - low || 1)
        : Math.max(0, Math.min(1, out[i]));
    const color = !signed
      ? [255 * v, 255 * v, 255 * v]
      : v > 0
        ? [128 + 127 * v, 128 - 10 * v, 128 - 118 * v]
        : [128 + 100 * v, 128 + 20 * v, 128 - 127 * v];
    for (let c = 0; c < 3; c++) image.data[4 * i + c] = color[c];
    image.data[4 * i + 3] = 255;
  }
  s.result.getContext("2d").putImageData(image, 0, 0);
  s.scale.replaceChildren(
    make("span", {}, `least ${shown(low)}`),
    make(
      "span",
      {},
      signed
        ? "gray: 0, one scale for both signs"
        : s.kind === "kernel"
          ? "black 0, white 1"
          : "black to white: least to most",
    ),
    make("span", {}, `most ${shown(high)}`),
  );
  s.root.dataset.low = low;
  s.root.dataset.high = high;
}

function boxAt(width, height, [x, y, w, h], name = "") {
  const percent = (share) => `${(100 * share).toFixed(3)}%`;
  return make("div", {
    class: `box ${name}`,
    style:
      `left:${percent(x / width)};top:${percent(y / height)};` +
      `width:${percent(w / width)};height:${percent(h / height)}`,
  });
}

/** The best places of the map that do not lie on one another: [x, y, value]. */
function bestPlaces(s, number) {
  const { out, w, h } = s.map,
    side = s.patch[2],
    found = [];
  const order = Array.from(out.keys())
    .filter((i) => out[i] > 0)
    .sort((a, b) => out[b] - out[a])
    .slice(0, 4000);
  for (const i of order) {
    const x = i % w,
      y = Math.floor(i / w);
    if (found.every((f) => Math.abs(f[0] - x) >= side / 2 || Math.abs(f[1] - y) >= side / 2))
      found.push([x, y, out[i]]);
    if (found.length === number) break;
  }
  return found;
}

function readOut(s) {
  const [x, y] = s.cursor,
    { out, w } = s.map,
    value = out[y * w + x];
  s.boxes.replaceChildren(s.photo);
  s.resultBoxes.replaceChildren(s.result);
  if (s.kind === "template") {
    const side = s.patch[2];
    s.boxes.append(boxAt(s.width, s.height, [...s.patch.slice(0, 2), side, side]));
    if (hiddenResult(s)) {
      s.resultBoxes.append(boxAt(s.map.w, s.map.h, [x - side / 2, y - side / 2, side, side]));
      s.readout.textContent = "";
      return;
    }
    if (s.predict) s.boxes.append(boxAt(s.width, s.height, [...s.guesses.place, side, side], "guess"));
    const best = bestPlaces(s, 4);
    for (const [bx, by] of best) s.boxes.append(boxAt(s.width, s.height, [bx, by, side, side], "best"));
    s.readout.textContent =
      `Most similar: ` +
      `${best.map(([bx, by, v]) => `${shown(v)} at (${bx}, ${by})`).join(",  ")}. The patch is from ` +
      `(${s.patch[0]}, ${s.patch[1]}). Under the pointer: ${shown(value)} at (${x}, ${y}).`;
    s.root.dataset.best = JSON.stringify(best);
    return;
  }
  const k = s.values.length,
    before = Math.floor((k - 1) / 2),
    texts = [];
  s.boxes.append(boxAt(s.width, s.height, [x - before, y - before, k, k]));
  s.resultBoxes.append(boxAt(s.width, s.height, [x - 1, y - 1, 3, 3]));
  for (let ky = 0; ky < k; ky++)
    for (let kx = 0; kx < k; kx++) {
      const row = Math.min(Math.max(y + ky - before, 0), s.height - 1),
        column = Math.min(Math.max(x + kx - before, 0), s.width - 1);
      if (s.values[ky][kx] !== 0)
        texts.push(`${shown(s.gray[row * s.width + column]).slice(0, 5)}·${bracket(s.values[ky][kx])}`);
    }
  const many = texts.length > 9 ? [...texts.slice(0, 6), `… ${texts.length - 6} more`] : texts;
  s.readout.textContent = `Row ${y}, column ${x}: ${many.join(" + ") || "0"} = ${hiddenResult(s) ? "?" : shown(value)}`;
  s.root.dataset.value = value;
  s.root.dataset.at = `${x},${y}`;
}
