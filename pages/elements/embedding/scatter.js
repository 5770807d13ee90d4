// Maps of images side by side: each point is an image, and the same image is the same point in every map.
// Everything moves here; only a click on a point, which chooses the image, goes to the server.

const COLORS = [
  "#4c78d8",
  "#f08a24",
  "#2f9e5c",
  "#d6455d",
  "#8e62c4",
  "#8c5a3c",
  "#e377b8",
  "#8a8f98",
  "#b8ab1f",
  "#1fb5c9",
];
const SCALE = [
  [68, 1, 84],
  [59, 82, 139],
  [33, 145, 140],
  [94, 201, 98],
  [253, 231, 37],
];
const STRIP = 240; // pictures shown of a selection

export default function ({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector(".root");
  const s = (root.state ??= { color: "true", mode: "move", dimmed: new Set(), lasso: null, picked: -1, hover: -1 });
  s.choose = (index) => setTriggerValue("chosen", s.rows[index]);
  if (s.data !== data) {
    s.data = data;
    read(s, data);
  }
  build(root, s);
}

function read(s, data) {
  const { head, body } = unpacked(data),
    bytes = body.slice(); // a copy begins at 0, where typed arrays may begin
  let at = 0;
  const take = (Kind, count) => {
    const values = new Kind(bytes.buffer, at, count);
    at += values.byteLength + ((4 - (values.byteLength % 4)) % 4);
    return values;
  };
  const n = head.count;
  const again = s.head && s.head.question === head.question;
  const views = again ? s.maps.map((map) => map.view) : [];
  s.head = head;
  s.n = n;
  s.rows = take(Uint32Array, n);
  s.labels = take(Uint16Array, n);
  s.maps = head.maps.map((about, i) => ({
    ...about,
    points: take(Float32Array, n * about.dimensions),
    predicted: take(Uint16Array, n),
    confidence: take(Uint8Array, n),
    preserved: take(Uint8Array, n),
    true_near: take(Uint32Array, n * head.near),
    shown_near: take(Uint32Array, n * head.near),
    view: views[i] ?? null,
    x: new Float32Array(n),
    y: new Float32Array(n),
    depth: new Float32Array(n),
  }));
  if (!again) {
    s.lasso = null;
    s.hover = -1;
    s.picked = head.picked;
    s.dimmed.clear();
  } else if (head.picked !== s.sentPicked) s.picked = head.picked;
  s.sentPicked = head.picked;
  if (!head.predictions && s.color !== "true" && s.color !== "preserved") s.color = "true";
  s.sprite = null;
  createImageBitmap(new Blob([bytes.subarray(at)], { type: "image/jpeg" })).then((sprite) => {
    if (s.data !== data) return;
    s.sprite = sprite;
    s.refresh?.();
  });
  s.maps.forEach(normalize);
}

/** Points into a box of −1…1 around the middle, so that zooming and turning know their measure. */
function normalize(map) {
  const { points, dimensions: d } = map;
  const n = points.length / d;
  const low = Array(d).fill(Infinity),
    high = Array(d).fill(-Infinity);
  for (let i = 0; i < n * d; i += 1) {
    low[i % d] = Math.min(low[i % d], points[i]);
    high[i % d] = Math.max(high[i % d], points[i]);
  }
  map.middle = low.map((value, k) => (value + high[k]) / 2);
  map.half = Math.max(1e-9, ...low.map((value, k) => (high[k] - value) / 2));
  map.view ??= { zoom: 1, x: 0, y: 0, turn: 0.6, tilt: 0.4 };
}

const classColor = (k) =>
  k < COLORS.length ? COLORS[k] : `hsl(${(k * 137.508) % 360} ${55 + (k % 3) * 15}% ${42 + (k % 4) * 7}%)`;

function rgb(color) {
  const known = (rgb.known ??= new Map());
  if (known.has(color)) return known.get(color);
  const canvas = (rgb.canvas ??= Object.assign(document.createElement("canvas"), { width: 1, height: 1 }));
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.clearRect(0, 0, 1, 1);
  context.fillStyle = color;
  context.fillRect(0, 0, 1, 1);
  known.set(color, [...context.getImageData(0, 0, 1, 1).data.slice(0, 3)]);
  return known.get(color);
}

function ramp(share) {
  const at = Math.min(0.9999, Math.max(0, share)) * (SCALE.length - 1);
  const k = Math.floor(at);
  return SCALE[k].map((value, c) => Math.round(value + (SCALE[k + 1][c] - value) * (at - k)));
}

/** The groups of the legend, and for a map the group and the color of every point. */
function coloring(s) {
  const names = s.head.classes;
  if (s.color === "true" || s.color === "predicted") {
    const list = names.map((name, k) => ({ name, color: rgb(classColor(k)) }));
    if (s.color === "predicted") list.push({ name: "another class", color: [140, 140, 140] });
    return { list, of: (map) => (s.color === "true" ? s.labels : map.predicted) };
  }
  if (s.color === "right") {
    const list = [
      { name: "right", color: [120, 150, 190] },
      { name: "wrong", color: [225, 70, 40] },
    ];
    return { list, of: (map) => Uint8Array.from(s.labels, (label, i) => (map.predicted[i] === label ? 0 : 1)) };
  }
  const list = Array.from({ length: 256 }, (_, k) => ({ name: "", color: ramp(k / 255) }));
  return { list, scale: true, of: (map) => map[s.color] };
}

function build(root, s) {
  const options = [
    ["true", "true class"],
    ...(s.head.predictions
      ? [
          ["predicted", "predicted class"],
          ["right", "right or wrong"],
          ["confidence", "confidence"],
        ]
      : []),
    ["preserved", "neighbors preserved"],
  ];
  const color = make(
    "select",
    {
      "aria-label": "Color by",
      onchange: () => {
        s.color = color.value;
        s.dimmed.clear();
        build(root, s);
      },
    },
    ...options.map(([value, text]) => make("option", { value, selected: value === s.color }, text)),
  );
  color.value = s.color;
  const mode = (name, text, title) =>
    make(
      "button",
      {
        "aria-pressed": String(s.mode === name),
        title,
        onclick: () => {
          s.mode = name;
          build(root, s);
        },
      },
      text,
    );
  const flat = s.maps.every((map) => map.dimensions === 2);
  const bar = make(
    "div",
    { class: "bar" },
    make("label", { class: "field" }, make("span", {}, "Color by"), color),
    mode("move", flat ? "Move" : "Turn", "Drag to move the map; the wheel zooms"),
    mode("lasso", "Lasso", "Drag around points to see their images (or hold Shift)"),
    make(
      "button",
      {
        onclick: () => {
          for (const map of s.maps) {
            map.view = null;
            normalize(map);
          }
          refresh();
        },
      },
      "Whole map",
    ),
    s.lasso
      ? make(
          "button",
          {
            onclick: () => {
              s.lasso = null;
              build(root, s);
            },
          },
          "Drop the selection",
        )
      : null,
  );
  const maps = make("div", { class: "maps" });
  s.canvases = s.maps.map((map, i) => {
    const canvas = make("canvas", {
      tabindex: 0,
      role: "application",
      "data-map": i,
      "aria-label":
        `${map.title}: ${s.n} images. Arrow keys ${map.dimensions === 3 ? "turn" : "move"}, plus and ` +
        `minus zoom, N and P step through the images, Enter chooses one.`,
    });
    maps.append(
      make(
        "figure",
        {},
        make("figcaption", {}, make("strong", {}, map.title), make("span", { class: "quiet" }, map.note)),
        canvas,
      ),
    );
    hands(
      canvas,
      s,
      map,
      i,
      () => refresh(),
      () => build(root, s),
    );
    return canvas;
  });
  const side = make("div", { class: "side" });
  const strip = make("div", { class: "strip" });
  root.replaceChildren(bar, make("div", { class: `stage${s.maps.length > 1 ? " many" : ""}` }, maps, side), strip);
  s.colored = coloring(s);
  s.groups = s.maps.map((map) => s.colored.of(map));
  s.masks = s.groups.map((groups) => mask(s, groups));
  s.built = (s.built ?? 0) + 1;
  const card = make("div", { class: "card", "aria-live": "polite" });
  side.append(
    card,
    legend(s, () => build(root, s)),
  );
  const refresh = () => {
    if (s.frame) return;
    s.frame = requestAnimationFrame(() => {
      s.frame = 0;
      paintAll();
    });
  };
  const paintAll = () => {
    const began = performance.now();
    s.maps.forEach((map, i) => paint(s, map, s.canvases[i], s.groups[i], s.masks[i]));
    root.dataset.ms = (performance.now() - began).toFixed(1);
    showCard(s, card);
  };
  s.refresh = () => {
    refresh();
    showStrip(s, strip, refresh);
  };
  s.watch?.disconnect();
  s.watch = new ResizeObserver(refresh);
  s.canvases.forEach((canvas) => s.watch.observe(canvas));
  cancelAnimationFrame(s.frame);
  s.frame = 0;
  paintAll();
  requestAnimationFrame(() => showStrip(s, strip, refresh)); // hundreds of pictures, after the map itself
}

/** 1 for the points that the legend and the lasso leave, 0 for those in the background; null where all are left. */
function mask(s, groups) {
  if (!s.dimmed.size && !s.lasso) return null;
  return Uint8Array.from(groups, (group, i) =>
    (!s.dimmed.size || s.dimmed.has(group)) && (!s.lasso || s.lasso.has(i)) ? 1 : 0,
  );
}
