// One large map that wipes against the photo, the others beside it; views, smoothing and scale follow at once.
const VIEWS = [
  ["heat", "Heat"],
  ["signed", "Signed"],
  ["spotlight", "Spotlight"],
  ["raw", "Raw"],
];
const states = new WeakMap();

export default function ({ parentElement, data, setStateValue }) {
  const root = parentElement.querySelector(".root");
  const s = states.get(parentElement) ?? { view: null, at: null, wipe: 40, photo: null };
  states.set(parentElement, s);
  unpack(s, data);
  s.root = root;
  s.view ??= { ...s.about.view };
  if (s.view.main >= s.maps.length) s.view.main = 0;
  s.send = setStateValue;
  s.report ??= settled(() => s.send("view", { ...s.view }), 300);
  build(s);
  document.removeEventListener("keydown", s.keys);
  s.keys = (event) => key(s, event);
  document.addEventListener("keydown", s.keys);
  return () => document.removeEventListener("keydown", s.keys);
}

function unpack(s, data) {
  const { head, body } = unpacked(data),
    bytes = body.slice(),
    count = head.height * head.width;
  let at = 0;
  const plane = () => {
    const part = new Float32Array(bytes.buffer, at, count);
    at += 4 * count;
    return part;
  };
  s.about = head;
  s.maps = head.panels.map((panel) => ({ ...panel, absolute: plane(), signed: plane(), drawn: {} }));
  if (s.photo) URL.revokeObjectURL(s.photo);
  s.photo = URL.createObjectURL(new Blob([bytes.subarray(at)], { type: "image/png" }));
}

const sigmaOf = (s) => s.view.sigma ?? s.about.sigma;
const signedView = (s) => s.view.view === "signed" || s.view.view === "raw";

/** The values of a map as they are drawn now; kept until the smoothing changes. */
function planeOf(s, map) {
  const sigma = map.smooth && s.view.view !== "raw" ? sigmaOf(s) : 0,
    mode = signedView(s) ? "signed" : "absolute";
  const name = `${mode} ${sigma}`;
  if (map.drawn.name !== name) {
    const plane = smoothed(map[mode], s.about.height, s.about.width, sigma);
    map.drawn = { name, plane, limit: limitOf(plane, s.about.percentile) };
  }
  return map.drawn;
}

function limitFor(s, map) {
  const own = planeOf(s, map).limit;
  return s.view.scale === "shared" ? Math.max(...s.maps.map((one) => planeOf(s, one).limit)) : own;
}

function build(s) {
  s.stage = stageOf(s, "stage");
  s.line = make(
    "div",
    {
      class: "wipe",
      role: "slider",
      tabindex: "0",
      "aria-label": "Wipe between the map and the photo",
      "aria-valuemin": 0,
      "aria-valuemax": 100,
    },
    make("span"),
  );
  s.cross = make("span", { class: "cross" });
  s.tag = make("div", { class: "tag" });
  const full = make("button", {
    type: "button",
    class: "full",
    title: "Full screen (F)",
    "aria-label": "Full screen",
    onclick: () => enlarge(s),
  });
  s.stage.box.append(s.line, s.cross, s.tag, full);
  s.value = make("div", { class: "value mono" });
  s.legend = make("div", { class: "legend" });
  const main = make("div", { class: "main" }, s.stage.box, s.value);
  s.tiles = s.maps.map((map, i) => tile(s, map, i));
  const tiles = make(
    "div",
    { class: "tiles" },
    photoTile(s),
    ...(s.maps.length > 1 ? s.tiles.map((one) => one.button) : []),
  );
  s.root.replaceChildren(
    make("div", { class: "sheet" }, main, make("div", { class: "side" }, bar(s), s.legend, tiles)),
  );
  follow(s);
  paint(s);
}

/** Photo, the photo as the view wants it, and the colors, one over the other. */
function stageOf(s, name) {
  const { height, width } = s.about,
    kind = width < 160 ? "small" : "";
  const canvas = make("canvas", { width, height, class: kind });
  const under = make("img", { src: s.photo, alt: "", class: `backdrop ${kind}` });
  const photo = make("img", { src: s.photo, alt: "", class: kind });
  const box = make(
    "div",
    { class: `${name} layers`, style: `aspect-ratio:${width}/${height}` },
    photo,
    make("div", { class: "over" }, under, canvas),
  );
  return { box, canvas };
}

function photoTile(s) {
  const stage = stageOf(s, "tile");
  stage.box.lastChild.remove();
  return make("figure", { class: "beside" }, stage.box, make("figcaption", {}, "What the network sees"));
}

function tile(s, map, i) {
  const stage = stageOf(s, "tile");
  const button = make(
    "button",
    {
      type: "button",
      class: "beside plain",
      title: `Show ${map.title} large`,
      onclick: () => {
        s.view.main = i;
        paint(s);
        s.report();
      },
    },
    stage.box,
    make("span", { class: "caption" }, map.title),
  );
  return { map, button, canvas: stage.canvas };
}

function bar(s) {
  const choice = (label, name, options) => {
    const buttons = options.map(([value, text]) =>
      make(
        "button",
        {
          type: "button",
          "data-value": value,
          onclick: () => {
            s.view[name] = value;
            change(s);
          },
        },
        text,
      ),
    );
    return make("div", { class: "choice", role: "group", "aria-label": label, "data-name": name }, ...buttons);
  };
  const range = (label, name, value, low, high, step) => {
    const input = make("input", { type: "range", min: low, max: high, step, value, "aria-label": label });
    input.oninput = () => {
      s.view[name] = Number(input.value);
      change(s);
    };
    return make("label", { class: `amount of-${name}`, title: label }, make("span", {}), input);
  };
  const most = Math.max(2, Math.max(s.about.height, s.about.width) / 28);
  const parts = [choice("View", "view", VIEWS)];
  if (s.maps.some((map) => map.smooth))
    parts.push(range("Smoothing in pixels", "sigma", sigmaOf(s), 0, most, most / 32));
  parts.push(range("Share of the pixels that is lit", "share", s.view.share, 0.02, 0.6, 0.01));
  if (s.maps.length > 1)
    parts.push(
      choice("Scale", "scale", [
        ["own", "Own scale"],
        ["shared", "Shared"],
      ]),
    );
  s.bar = make("div", { class: "bar" }, ...parts);
  return s.bar;
}

function change(s) {
  paint(s);
  s.report();
}

/** The large map now, the small ones one in each frame: all at once would be felt as a jerk. */
function paint(s) {
  const { view } = s.view,
    map = s.maps[s.view.main];
  for (const button of s.bar.querySelectorAll(".choice button")) {
    button.setAttribute("aria-pressed", String(s.view[button.parentElement.dataset.name] === button.dataset.value));
  }
  const told = (name, text) => {
    const span = s.bar.querySelector(`.of-${name} span`);
    if (span) span.textContent = text;
  };
  told("sigma", `Smoothing σ ${sigmaOf(s).toFixed(1)} px`);
  told("share", `Lit ${Math.round(100 * s.view.share)}%`);
  s.root.firstChild.dataset.view = view;
  draw(s, map, s.stage.canvas);
  s.tag.textContent = map.title;
  s.stage.box.setAttribute("aria-label", `${map.title} over the photo`);
  s.legend.replaceChildren(...legend(s, map));
  wipe(s, s.wipe);
  point(s);
  const turn = (s.turn = (s.turn ?? 0) + 1);
  const next = (i) => {
    if (turn !== s.turn || i >= s.tiles.length) return;
    const one = s.tiles[i];
    one.button.setAttribute("aria-pressed", String(i === s.view.main));
    draw(s, one.map, one.canvas);
    requestAnimationFrame(() => next(i + 1));
  };
  if (s.maps.length > 1) requestAnimationFrame(() => next(0));
}

function draw(s, map, canvas) {
  const { plane } = planeOf(s, map);
  const colors = layerOf(plane, s.view, limitFor(s, map), s.about);
  canvas.getContext("2d").putImageData(new ImageData(colors, s.about.width, s.about.height), 0, 0);
}

const precise = (value) => (value === 0 ? "0" : Math.abs(value).toPrecision(3).replace("e-", "e−"));

/** The color bar in words and numbers, then one line of figures; the rest behind an i. */
function legend(s, map) {
  const limit = limitFor(s, map),
    share = Math.round(100 * s.view.share),
    table = s.about.heat;
  const rgb = (values, at) => `rgb(${values[3 * at]},${values[3 * at + 1]},${values[3 * at + 2]})`;
  const minus = rgb(s.about.signed, 0),
    plus = rgb(s.about.signed, 1),
    middle = s.view.view === "raw" ? "#000" : "#c6c6c6";
  const stops = Array.from({ length: 9 }, (_, i) => rgb(table, Math.round((255 * i) / 8)));
  const ramps = {
    heat: [`linear-gradient(90deg,${stops.join()})`, "0: no part in it", "", `${precise(limit)} and more: most`],
    signed: [
      `linear-gradient(90deg,${minus},${middle},${plus})`,
      `against, −${precise(limit)}`,
      "0",
      `for, +${precise(limit)}`,
    ],
    spotlight: [
      `linear-gradient(90deg,#222 ${100 - share}%,#eee ${100 - share}%)`,
      `the other ${100 - share}%`,
      "",
      `the strongest ${share}% of the pixels`,
    ],
  };
  const [background, low, zero, high] = ramps[s.view.view] ?? ramps.signed;
  const parts = [];
  if (map.warning) parts.push(make("p", { class: "problem" }, map.warning));
  if (limit > 0) {
    parts.push(make("div", { class: "ramp", style: `background:${background}` }));
    parts.push(make("div", { class: "ends" }, make("span", {}, low), make("span", {}, zero), make("span", {}, high)));
  }
  const own = planeOf(s, map).limit;
  if (own > 0 && own < 0.2 * limit) {
    parts.push(
      make(
        "p",
        { class: "problem" },
        `Pale, since its values reach only ${precise(own)} on a scale to ${precise(limit)} that all maps share. ` +
          `With its own scale it can be seen.`,
      ),
    );
  }
  const smooth = map.smooth && s.view.view !== "raw" && sigmaOf(s) > 0;
  const facts = smooth ? [...map.facts, "Smoothed for the eye; values in files are raw."] : map.facts;
  const more = make(
    "details",
    {},
    make("summary", { title: "Settings and sums", "aria-label": "Settings and sums" }, "i"),
    ...facts.map((fact) => make("p", {}, fact)),
  );
  parts.push(make("div", { class: "line" }, make("span", {}, map.line), more));
  return parts;
}

/** 0: only the map; 100: only the photo. */
function wipe(s, share) {
  s.wipe = Math.max(0, Math.min(100, share));
  s.stage.box.style.setProperty("--wipe", `${s.wipe}%`);
  s.line.setAttribute("aria-valuenow", String(Math.round(s.wipe)));
}

/** A pressed pointer moves the seam by as much as it moves itself, a free one reads values. */
function follow(s) {
  const { height, width } = s.about,
    box = s.stage.box;
  let from = null;
  box.onpointerdown = (event) => {
    if (event.target.closest("button")) return;
    from = { x: event.clientX, wipe: s.wipe };
    box.setPointerCapture(event.pointerId);
  };
  box.onpointermove = (event) => {
    const seen = box.getBoundingClientRect();
    if (from && Math.abs(event.clientX - from.x) > 4)
      wipe(s, from.wipe + (100 * (event.clientX - from.x)) / seen.width);
    s.at = [
      Math.max(0, Math.min(width - 1, Math.floor(((event.clientX - seen.left) / seen.width) * width))),
      Math.max(0, Math.min(height - 1, Math.floor(((event.clientY - seen.top) / seen.height) * height))),
    ];
    point(s);
  };
  box.onpointerup = box.onpointercancel = () => {
    from = null;
  };
  box.onpointerleave = () => {
    s.at = null;
    point(s);
  };
  s.line.onkeydown = (event) => {
    const step = { ArrowLeft: -5, ArrowRight: 5, Home: -100, End: 100 }[event.key];
    if (step === undefined) return;
    event.preventDefault();
    wipe(s, s.wipe + step);
  };
}

function point(s) {
  s.cross.hidden = !s.at;
  if (!s.at) {
    s.value.textContent = "";
    return;
  }
  const { height, width } = s.about,
    [x, y] = s.at,
    map = s.maps[s.view.main];
  s.cross.style.left = `${((x + 0.5) / width) * 100}%`;
  s.cross.style.top = `${((y + 0.5) / height) * 100}%`;
  const raw = map[signedView(s) ? "signed" : "absolute"];
  let sum = 0,
    count = 0;
  for (let r = Math.max(0, y - 4); r <= Math.min(height - 1, y + 4); r += 1) {
    for (let c = Math.max(0, x - 4); c <= Math.min(width - 1, x + 4); c += 1) {
      sum += raw[r * width + c];
      count += 1;
    }
  }
  const sign = (value) => (value < 0 ? "−" : "") + precise(value);
  s.value.textContent =
    `column ${x}, row ${y}: ${sign(raw[y * width + x])}, mean of 9 × 9 around it ` + `${sign(sum / count)}`;
}

function key(s, event) {
  const on = event.composedPath()[0];
  if (event.ctrlKey || event.metaKey || event.altKey || !s.root.isConnected) return;
  if (/^(INPUT|TEXTAREA|SELECT)$/.test(on.tagName ?? "") || on.isContentEditable) return;
  if (event.key === "f" || event.key === "F") enlarge(s);
}

function enlarge(s) {
  if (s.stage.box.matches(":fullscreen")) document.exitFullscreen();
  else s.stage.box.requestFullscreen?.();
}
