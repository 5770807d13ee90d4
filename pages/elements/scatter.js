// Maps of images side by side: each point is an image, and the same image is the same point in every map.
// Everything moves here; only a click on a point, which chooses the image, goes to the server.

const COLOURS = ["#4c78d8", "#f08a24", "#2f9e5c", "#d6455d", "#8e62c4", "#8c5a3c", "#e377b8", "#8a8f98", "#b8ab1f", "#1fb5c9"];
const SCALE = [[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]];
const STRIP = 240; // pictures shown of a selection

export default function ({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector(".root");
  const s = (root.state ??= { colour: "true", mode: "move", dimmed: new Set(), lasso: null, picked: -1, hover: -1 });
  s.choose = (index) => setTriggerValue("chosen", s.rows[index]);
  if (s.data !== data) {
    s.data = data;
    read(s, data);
  }
  build(root, s);
}

function read(s, data) {
  const bytes = data.slice(); // a copy begins at 0, where typed arrays may begin
  const length = new DataView(bytes.buffer).getUint32(0, true);
  const head = JSON.parse(new TextDecoder().decode(bytes.subarray(4, 4 + length)));
  let at = 4 + length;
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
    x: new Float32Array(n), y: new Float32Array(n), depth: new Float32Array(n),
  }));
  if (!again) {
    s.lasso = null;
    s.hover = -1;
    s.picked = head.picked;
    s.dimmed.clear();
  } else if (head.picked !== s.sentPicked) s.picked = head.picked;
  s.sentPicked = head.picked;
  if (!head.predictions && s.colour !== "true" && s.colour !== "preserved") s.colour = "true";
  const url = URL.createObjectURL(new Blob([bytes.subarray(at)], { type: "image/jpeg" }));
  s.sprite = new Image();
  s.sprite.onload = () => { URL.revokeObjectURL(url); s.refresh?.(); };
  s.sprite.src = url;
  s.maps.forEach(normalise);
}

/** Points into a box of −1…1 around the middle, so that zooming and turning know their measure. */
function normalise(map) {
  const { points, dimensions: d } = map;
  const n = points.length / d;
  const low = Array(d).fill(Infinity), high = Array(d).fill(-Infinity);
  for (let i = 0; i < n * d; i += 1) {
    low[i % d] = Math.min(low[i % d], points[i]);
    high[i % d] = Math.max(high[i % d], points[i]);
  }
  map.middle = low.map((value, k) => (value + high[k]) / 2);
  map.half = Math.max(1e-9, ...low.map((value, k) => (high[k] - value) / 2));
  map.view ??= { zoom: 1, x: 0, y: 0, turn: 0.6, tilt: 0.4 };
}

const classColour = (k) => (k < COLOURS.length ? COLOURS[k] : `hsl(${(k * 137.508) % 360} ${55 + (k % 3) * 15}% ${42 + (k % 4) * 7}%)`);

function rgb(colour) {
  const canvas = (rgb.canvas ??= Object.assign(document.createElement("canvas"), { width: 1, height: 1 }));
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.clearRect(0, 0, 1, 1);
  context.fillStyle = colour;
  context.fillRect(0, 0, 1, 1);
  return [...context.getImageData(0, 0, 1, 1).data.slice(0, 3)];
}

function ramp(share) {
  const at = Math.min(0.9999, Math.max(0, share)) * (SCALE.length - 1);
  const k = Math.floor(at);
  return SCALE[k].map((value, c) => Math.round(value + (SCALE[k + 1][c] - value) * (at - k)));
}

/** The groups of the legend, and for a map the group and the colour of every point. */
function colouring(s) {
  const names = s.head.classes;
  if (s.colour === "true" || s.colour === "predicted") {
    const list = names.map((name, k) => ({ name, colour: rgb(classColour(k)) }));
    if (s.colour === "predicted") list.push({ name: "another class", colour: [140, 140, 140] });
    return { list, of: (map) => (s.colour === "true" ? s.labels : map.predicted) };
  }
  if (s.colour === "right") {
    const list = [{ name: "right", colour: [120, 150, 190] }, { name: "wrong", colour: [225, 70, 40] }];
    return { list, of: (map) => Uint8Array.from(s.labels, (label, i) => (map.predicted[i] === label ? 0 : 1)) };
  }
  const list = Array.from({ length: 256 }, (_, k) => ({ name: "", colour: ramp(k / 255) }));
  return { list, scale: true, of: (map) => map[s.colour] };
}

function build(root, s) {
  const options = [["true", "true class"], ...(s.head.predictions ? [["predicted", "predicted class"], ["right", "right or wrong"], ["confidence", "confidence"]] : []), ["preserved", "neighbours preserved"]];
  const colour = make("select", { "aria-label": "Colour by", onchange: () => { s.colour = colour.value; s.dimmed.clear(); build(root, s); } },
    ...options.map(([value, text]) => make("option", { value, selected: value === s.colour }, text)));
  colour.value = s.colour;
  const mode = (name, text, title) => make("button", { "aria-pressed": String(s.mode === name), title, onclick: () => { s.mode = name; build(root, s); } }, text);
  const flat = s.maps.every((map) => map.dimensions === 2);
  const bar = make("div", { class: "bar" },
    make("label", { class: "field" }, make("span", {}, "Colour by"), colour),
    mode("move", flat ? "Move" : "Turn", "Drag to move the map; the wheel zooms"),
    mode("lasso", "Lasso", "Drag around points to see their images (or hold Shift)"),
    make("button", { onclick: () => { for (const map of s.maps) { map.view = null; normalise(map); } refresh(); } }, "Whole map"),
    s.lasso ? make("button", { onclick: () => { s.lasso = null; build(root, s); } }, "Drop the selection") : null);
  const maps = make("div", { class: "maps" });
  s.canvases = s.maps.map((map, i) => {
    const canvas = make("canvas", { tabindex: 0, role: "application", "data-map": i,
      "aria-label": `${map.title}: ${s.n} images. Arrow keys ${map.dimensions === 3 ? "turn" : "move"}, plus and minus zoom, N and P step through the images, Enter chooses one.` });
    maps.append(make("figure", {}, make("figcaption", {}, make("strong", {}, map.title), make("span", { class: "quiet" }, map.note)), canvas));
    hands(canvas, s, map, i, () => refresh(), () => build(root, s));
    return canvas;
  });
  const side = make("div", { class: "side" });
  const strip = make("div", { class: "strip" });
  root.replaceChildren(bar, make("div", { class: `stage${s.maps.length > 1 ? " many" : ""}` }, maps, side), strip);
  s.coloured = colouring(s);
  s.groups = s.maps.map((map) => s.coloured.of(map));
  const card = make("div", { class: "card", "aria-live": "polite" });
  side.append(card, legend(s, () => build(root, s)));
  const refresh = () => {
    if (s.frame) return;
    s.frame = requestAnimationFrame(() => { s.frame = 0; paintAll(); });
  };
  const paintAll = () => {
    const began = performance.now();
    s.maps.forEach((map, i) => paint(s, map, s.canvases[i], s.groups[i]));
    root.dataset.ms = (performance.now() - began).toFixed(1);
    showCard(s, card);
  };
  s.refresh = () => { refresh(); showStrip(s, strip, refresh); };
  s.watch?.disconnect();
  s.watch = new ResizeObserver(refresh);
  s.canvases.forEach((canvas) => s.watch.observe(canvas));
  cancelAnimationFrame(s.frame);
  s.frame = 0;
  paintAll();
  showStrip(s, strip, refresh);
}

function legend(s, again) {
  if (s.coloured.scale) {
    const what = s.colour === "confidence" ? "probability of the predicted class" : `share of its ${s.head.near} nearest that are near in the picture too`;
    return make("div", { class: "scale" }, make("span", { class: "ramp", style: `background:linear-gradient(90deg,${SCALE.map((c) => `rgb(${c})`)})` }),
      make("span", { class: "ends" }, make("span", {}, "0 %"), make("span", {}, "100 %")), make("span", { class: "quiet" }, what));
  }
  const counts = new Uint32Array(s.coloured.list.length);
  for (const group of s.groups[0]) counts[group] += 1;
  const list = make("ul", { class: "legend", "aria-label": "Click a name to see these only" });
  s.coloured.list.forEach((group, k) => {
    if (!counts[k] && group.name === "another class") return;
    list.append(make("li", {}, make("button", {
      "aria-pressed": String(s.dimmed.has(k)), title: "Show these only",
      onclick: () => { if (s.dimmed.has(k)) s.dimmed.delete(k); else s.dimmed.add(k); again(); },
    }, make("span", { class: "dot", style: `background:rgb(${group.colour})` }), group.name, make("span", { class: "quiet mono" }, ` ${counts[k]}`))));
  });
  return list;
}

/** Where every point lies on the canvas, in its pixels; in three dimensions seen from the chosen side. */
function layOut(map, width, height) {
  const { view, points, middle, half, x, y, depth } = map;
  const scale = (0.46 * Math.min(width, height) * view.zoom) / half;
  const centreX = width / 2 + view.x * width, centreY = height / 2 + view.y * height;
  const n = x.length;
  if (map.dimensions === 2) {
    for (let i = 0; i < n; i += 1) {
      x[i] = centreX + (points[2 * i] - middle[0]) * scale;
      y[i] = centreY - (points[2 * i + 1] - middle[1]) * scale;
    }
    map.at = (p) => [centreX + (p[0] - middle[0]) * scale, centreY - (p[1] - middle[1]) * scale];
    return;
  }
  const ct = Math.cos(view.turn), st = Math.sin(view.turn), cl = Math.cos(view.tilt), sl = Math.sin(view.tilt);
  const seen = (a, b, c) => {
    const u = a * ct + c * st, w = -a * st + c * ct;
    const v = b * cl - w * sl, z = b * sl + w * cl;
    const near = 1 / (1 + (0.28 * z) / half);
    return [centreX + u * scale * 0.8 * near, centreY - v * scale * 0.8 * near, z / half];
  };
  for (let i = 0; i < n; i += 1) {
    const [a, b, c] = seen(points[3 * i] - middle[0], points[3 * i + 1] - middle[1], points[3 * i + 2] - middle[2]);
    x[i] = a; y[i] = b; depth[i] = c;
  }
  map.at = (p) => seen(p[0] - middle[0], p[1] - middle[1], p[2] - middle[2]);
}

/** All points straight into the pixels: thousands of paths would take ten times as long. */
function paint(s, map, canvas, groups) {
  const ratio = Math.min(2, window.devicePixelRatio || 1);
  const width = Math.round(canvas.clientWidth * ratio), height = Math.round(canvas.clientHeight * ratio);
  if (!width || !height) return;
  if (canvas.width !== width || canvas.height !== height) { canvas.width = width; canvas.height = height; }
  const context = canvas.getContext("2d");
  layOut(map, width, height);
  const back = rgb(getComputedStyle(canvas).getPropertyValue("--st-background-color").trim() || "#fff");
  const image = context.createImageData(width, height);
  const pixels = image.data;
  new Uint32Array(pixels.buffer).fill((255 << 24) | (back[2] << 16) | (back[1] << 8) | back[0]);
  const size = Math.max(1.3, Math.min(5, 34 / Math.sqrt(s.n) + 1.4) * Math.min(1.8, Math.sqrt(map.view.zoom))) * ratio;
  const order = map.order ??= new Uint32Array(s.n).map((_, i) => i);
  if (map.dimensions === 3) order.sort((a, b) => map.depth[b] - map.depth[a]);
  const lively = (i) => (!s.dimmed.size || s.dimmed.has(groups[i])) && (!s.lasso || s.lasso.has(i));
  const some = s.dimmed.size > 0 || s.lasso;
  for (let pass = some ? 0 : 1; pass < 2; pass += 1) {
    for (let o = 0; o < s.n; o += 1) {
      const i = order[o];
      if (some && lively(i) !== (pass === 1)) continue;
      const colour = s.coloured.list[groups[i]].colour;
      dot(pixels, width, height, map.x[i], map.y[i], size, colour, pass === 0 ? 0.13 : map.dimensions === 3 ? 0.9 - 0.3 * Math.max(-1, Math.min(1, map.depth[i])) : 0.85);
    }
  }
  context.putImageData(image, 0, 0);
  marks(s, map, context, ratio, size);
}

function dot(pixels, width, height, x, y, radius, colour, opacity) {
  const top = Math.max(0, Math.floor(y - radius)), bottom = Math.min(height - 1, Math.ceil(y + radius));
  const left = Math.max(0, Math.floor(x - radius)), right = Math.min(width - 1, Math.ceil(x + radius));
  for (let row = top; row <= bottom; row += 1) {
    for (let column = left; column <= right; column += 1) {
      const far = Math.hypot(column - x, row - y);
      const cover = Math.min(1, Math.max(0, radius + 0.5 - far)) * Math.min(1, opacity);
      if (cover <= 0) continue;
      const at = 4 * (row * width + column);
      for (let c = 0; c < 3; c += 1) pixels[at + c] += (colour[c] - pixels[at + c]) * cover;
    }
  }
}

function marks(s, map, context, ratio, size) {
  const style = getComputedStyle(context.canvas);
  const ink = style.getPropertyValue("--st-text-color").trim() || "#222", accent = style.getPropertyValue("--st-primary-color").trim() || "#e33";
  const ring = (x, y, radius, colour, wide) => {
    context.beginPath();
    context.arc(x, y, radius, 0, 7);
    context.lineWidth = wide * ratio;
    context.strokeStyle = colour;
    context.stroke();
  };
  const joined = (from, to) => {
    context.lineWidth = 1.2 * ratio;
    context.strokeStyle = accent;
    context.globalAlpha = 0.7;
    context.beginPath();
    for (const j of to) { context.moveTo(from[0], from[1]); context.lineTo(map.x[j], map.y[j]); }
    context.stroke();
    context.globalAlpha = 1;
    for (const j of to) ring(map.x[j], map.y[j], size + 1.5 * ratio, ink, 1.2);
  };
  const focus = s.hover >= 0 ? s.hover : s.picked;
  if (focus >= 0) {
    joined([map.x[focus], map.y[focus]], near(s, map.true_near, focus));
    ring(map.x[focus], map.y[focus], size + 4 * ratio, accent, 2.5);
  }
  if (map.placed) {
    const at = map.at(map.placed.point);
    if (focus < 0 || s.hover < 0) joined(at, map.placed.nearest);
    context.fillStyle = accent;
    context.strokeStyle = ink;
    context.lineWidth = 1.5 * ratio;
    context.beginPath();
    for (let k = 0; k < 10; k += 1) {
      const radius = (k % 2 ? 4.5 : 11) * ratio, angle = (Math.PI * k) / 5 - Math.PI / 2;
      context.lineTo(at[0] + radius * Math.cos(angle), at[1] + radius * Math.sin(angle));
    }
    context.closePath();
    context.fill();
    context.stroke();
  }
  if (s.drawing && s.drawing.map === map) {
    context.beginPath();
    s.drawing.path.forEach(([x, y]) => context.lineTo(x, y));
    context.closePath();
    context.fillStyle = accent;
    context.globalAlpha = 0.12;
    context.fill();
    context.globalAlpha = 1;
    context.strokeStyle = accent;
    context.lineWidth = 1.5 * ratio;
    context.stroke();
  }
}

const near = (s, all, i) => all.subarray(i * s.head.near, (i + 1) * s.head.near);

function closest(s, map, x, y, reach) {
  let best = -1, least = reach * reach;
  for (let i = 0; i < s.n; i += 1) {
    const far = (map.x[i] - x) ** 2 + (map.y[i] - y) ** 2;
    if (far < least && (!s.lasso || s.lasso.has(i))) { least = far; best = i; }
  }
  return best;
}

/** Pointer, wheel and keys of one map. */
function hands(canvas, s, map, index, refresh, rebuild) {
  const at = (event) => {
    const box = canvas.getBoundingClientRect();
    return [((event.clientX - box.left) * canvas.width) / box.width, ((event.clientY - box.top) * canvas.height) / box.height];
  };
  const pick = (i) => {
    s.picked = i;
    if (i >= 0) s.choose(i);
    s.refresh();
  };
  let drag = null;
  canvas.onpointerdown = (event) => {
    canvas.setPointerCapture(event.pointerId);
    canvas.focus({ preventScroll: true });
    const [x, y] = at(event);
    drag = { x, y, moved: false, view: { ...map.view } };
    if (s.mode === "lasso" || event.shiftKey) s.drawing = { map, path: [[x, y]] };
    event.preventDefault();
  };
  canvas.onpointermove = (event) => {
    const [x, y] = at(event);
    if (!drag) {
      const found = closest(s, map, x, y, 14 * (window.devicePixelRatio || 1));
      if (found !== s.hover) { s.hover = found; refresh(); }
      canvas.style.cursor = found >= 0 ? "pointer" : s.mode === "lasso" ? "crosshair" : "grab";
      return;
    }
    drag.moved ||= Math.hypot(x - drag.x, y - drag.y) > 4;
    if (!drag.moved) return;
    s.hover = -1;
    if (s.drawing) s.drawing.path.push([x, y]);
    else if (map.dimensions === 3) {
      map.view.turn = drag.view.turn + ((x - drag.x) / canvas.width) * 4;
      map.view.tilt = drag.view.tilt + ((y - drag.y) / canvas.height) * 4;
    } else {
      map.view.x = drag.view.x + (x - drag.x) / canvas.width;
      map.view.y = drag.view.y + (y - drag.y) / canvas.height;
    }
    refresh();
  };
  canvas.onpointerup = (event) => {
    const [x, y] = at(event);
    const was = drag;
    drag = null;
    const path = s.drawing?.path;
    s.drawing = null;
    if (was && !was.moved) return pick(closest(s, map, x, y, 14 * (window.devicePixelRatio || 1)));
    if (path && path.length > 2) {
      const found = inside(map, path, s.n).filter((i) => !s.dimmed.size || s.dimmed.has(s.groups[index][i]));
      s.lasso = found.length ? new Set(found) : null;
      return rebuild();
    }
    return refresh();
  };
  canvas.onpointercancel = () => { drag = null; s.drawing = null; refresh(); };
  canvas.onpointerleave = () => { if (!drag && s.hover >= 0) { s.hover = -1; refresh(); } };
  const zoom = (factor, x, y) => {
    const before = map.view.zoom;
    map.view.zoom = Math.min(60, Math.max(0.5, before * factor));
    const real = map.view.zoom / before;
    if (map.dimensions === 2) {
      map.view.x = x - 0.5 - (x - 0.5 - map.view.x) * real;
      map.view.y = y - 0.5 - (y - 0.5 - map.view.y) * real;
    }
    refresh();
  };
  canvas.onwheel = (event) => {
    const box = canvas.getBoundingClientRect();
    zoom(Math.exp(-Math.sign(event.deltaY) * Math.min(0.4, Math.abs(event.deltaY) / 400)), (event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height);
    event.preventDefault();
  };
  canvas.onkeydown = (event) => {
    const steps = { ArrowLeft: [1, 0], ArrowRight: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
    if (event.key in steps) {
      const [x, y] = steps[event.key];
      if (map.dimensions === 3) { map.view.turn += 0.12 * x; map.view.tilt += 0.12 * y; }
      else { map.view.x += 0.05 * x; map.view.y += 0.05 * y; }
      refresh();
    } else if (event.key === "+" || event.key === "=") zoom(1.25, 0.5, 0.5);
    else if (event.key === "-") zoom(0.8, 0.5, 0.5);
    else if (event.key.toLowerCase() === "n" || event.key.toLowerCase() === "p") {
      const list = s.lasso ? [...s.lasso] : null;
      const count = list ? list.length : s.n;
      const place = list ? list.indexOf(s.picked) : s.picked;
      const next = (place + (event.key.toLowerCase() === "n" ? 1 : count - 1) + count) % count;
      s.picked = list ? list[next] : next;
      s.hover = -1;
      s.refresh();
    } else if (event.key === "Enter" && s.picked >= 0) s.choose(s.picked);
    else if (event.key === "Escape") { s.lasso = null; s.picked = -1; return rebuild(); }
    else return undefined;
    event.preventDefault();
    return undefined;
  };
  if (!canvas.isConnected) canvas.style.touchAction = "none";
}

function inside(map, path, n) {
  const found = [];
  for (let i = 0; i < n; i += 1) {
    let within = false;
    for (let a = 0, b = path.length - 1; a < path.length; b = a, a += 1) {
      const [ax, ay] = path[a], [bx, by] = path[b];
      if (ay > map.y[i] !== by > map.y[i] && map.x[i] < ((bx - ax) * (map.y[i] - ay)) / (by - ay) + ax) within = !within;
    }
    if (within) found.push(i);
  }
  return found;
}

function picture(s, i, side) {
  const { tile_width: width, tile_height: height, columns } = s.head;
  const canvas = make("canvas", { width, height, role: "img", "aria-label": words(s, i) });
  const factor = side / Math.max(width, height);
  canvas.style.width = `${Math.round(width * factor)}px`;
  canvas.style.height = `${Math.round(height * factor)}px`;
  if (s.sprite.complete && s.sprite.naturalWidth) {
    canvas.getContext("2d").drawImage(s.sprite, (i % columns) * width, Math.floor(i / columns) * height, width, height, 0, 0, width, height);
  }
  return canvas;
}

const className = (s, k) => s.head.classes[k] ?? "another class";
const words = (s, i) => `image ${s.rows[i]}: ${className(s, s.labels[i])}`;

function thumbnail(s, i, side, refresh) {
  return make("button", { class: "thumb", title: `${words(s, i)} – choose it`,
    onclick: () => { s.picked = i; s.choose(i); s.refresh(); },
    onpointerenter: () => { s.hover = i; refresh(); }, onpointerleave: () => { s.hover = -1; refresh(); } },
  picture(s, i, side), make("span", {}, className(s, s.labels[i])));
}

function showCard(s, card) {
  const i = s.hover >= 0 ? s.hover : s.picked;
  if (card.shown === `${i} ${s.sprite.complete}`) return;
  card.shown = `${i} ${s.sprite.complete}`;
  if (i < 0) {
    card.replaceChildren(make("p", { class: "quiet" }, "Point at a dot to see its image; click it and it becomes the chosen image of every page. Draw a lasso to see many."));
    return;
  }
  const lines = s.maps.map((map) => {
    const says = s.head.predictions ? `${className(s, map.predicted[i])} (${Math.round(map.confidence[i] / 2.55)} %)` : "";
    const wrong = s.head.predictions && map.predicted[i] !== s.labels[i];
    return make("div", {}, s.maps.length > 1 ? make("span", { class: "quiet" }, `${map.title}: `) : "",
      s.head.predictions ? make("span", { class: wrong ? "problem" : "right" }, `${wrong ? "✗" : "✓"} ${says}`) : "",
      make("div", { class: "quiet" }, `keeps ${Math.round((map.preserved[i] / 255) * s.head.near)} of ${s.head.near} neighbours`));
  });
  card.replaceChildren(picture(s, i, s.maps.length > 1 ? 84 : 132), make("div", {}, make("strong", {}, className(s, s.labels[i])), make("span", { class: "quiet" }, ` image ${s.rows[i]}`)), ...lines);
}

/** Below the maps: the neighbours of the picked image, of the placed one, and the images in the lasso. */
function showStrip(s, strip, refresh) {
  const parts = [];
  const row = (title, list, side = 52) => make("section", {}, make("h4", {}, title), make("div", { class: "thumbs" }, ...Array.from(list, (i) => thumbnail(s, i, side, refresh))));
  if (s.lasso) {
    const list = [...s.lasso].slice(0, STRIP);
    const counts = new Map();
    for (const i of s.lasso) counts.set(s.labels[i], (counts.get(s.labels[i]) ?? 0) + 1);
    const most = [...counts].sort((a, b) => b[1] - a[1]).slice(0, 4).map(([k, count]) => `${className(s, k)} ${count}`);
    parts.push(row(`${s.lasso.size} images in the lasso: ${most.join(", ")}${counts.size > 4 ? ", …" : ""}${s.lasso.size > STRIP ? ` (the first ${STRIP} are shown)` : ""}`, list));
  }
  for (const map of s.maps) {
    const of = s.maps.length > 1 ? `${map.title}: ` : "";
    if (map.placed) parts.push(row(`${of}nearest in the features to the ★ ${map.placed.title}`, map.placed.nearest));
    if (s.picked >= 0) {
      const truth = near(s, map.true_near, s.picked), seen = near(s, map.shown_near, s.picked);
      const both = new Set(truth);
      const pair = make("div", { class: "pair" },
        row(`${of}nearest in the features`, truth), row(`${of}nearest in the picture`, seen));
      for (const [k, thumb] of [...pair.querySelectorAll("section:last-child .thumb")].entries()) {
        thumb.classList.add(both.has(seen[k]) ? "kept" : "lost");
      }
      parts.push(pair);
    }
  }
  if (s.picked >= 0) parts.push(make("p", { class: "quiet" }, "Dashed: near in the picture only. Lines in the map lead to the nearest in the features."));
  strip.replaceChildren(...parts);
}
