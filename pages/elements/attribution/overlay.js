// Draws what `attribution_view.py` packs: the image, and each map over a gray copy of it.
const RED = [202, 0, 32];
const BLUE = [5, 85, 190];
const ORANGE = [230, 85, 0];
const states = new WeakMap();

export default function ({ parentElement, data, setStateValue }) {
  const root = parentElement.querySelector(".root");
  const s = states.get(parentElement) ?? { view: null, at: null };
  states.set(parentElement, s);
  Object.assign(s, unpack(data), { root });
  s.view ??= { ...s.about.view };
  s.report ??= settled(() => s.send("view", { ...s.view }), 300);
  s.send = setStateValue;
  build(s);
}

/** Four bytes of length, the description, the image as RGBA, then the planes as 32-bit floats. */
function unpack(data) {
  const { head: about, body } = unpacked(data);
  const { height, width } = about;
  let place = 0;
  const take = (bytes) => {
    const part = body.slice(place, place + bytes);
    place += bytes;
    return part;
  };
  const photo = new Uint8ClampedArray(take(height * width * 4).buffer);
  const gray = new Float32Array(height * width);
  for (let i = 0; i < gray.length; i += 1) gray[i] = 0.299 * photo[4 * i] + 0.587 * photo[4 * i + 1] + 0.114 * photo[4 * i + 2];
  const maps = about.panels.map((panel) => {
    const coarse = panel.rows !== height || panel.columns !== width;
    const planes = {};
    for (const mode of ["signed", "absolute"]) {
      const fine = new Float32Array(take(height * width * 4).buffer);
      const places = coarse ? new Float32Array(take(panel.rows * panel.columns * 4).buffer) : fine;
      planes[mode] = { fine, places };
    }
    return { ...panel, coarse, planes };
  });
  return { about, photo, gray, maps };
}

function build(s) {
  const { height, width } = s.about;
  s.root.replaceChildren(bar(s));
  const sheet = make("div", { class: "sheet" });
  s.views = [null, ...s.maps].map((map) => {
    const canvas = make("canvas", { width, height, tabindex: "0", role: "img", class: width < 160 ? "small" : "" });
    const cross = make("span", { class: "cross", hidden: true });
    const value = make("div", { class: "value mono" });
    const under = make("div");
    const title = map ? map.title : "What the network sees";
    canvas.setAttribute("aria-label", `${title}. Arrow keys move the point whose value is shown.`);
    sheet.append(make("div", { class: "panel" }, make("h4", {}, title), make("div", { class: "frame" }, canvas, cross), value, under));
    follow(s, canvas);
    return { map, canvas, cross, value, under };
  });
  s.root.append(sheet);
  paint(s);
  point(s);
}

function bar(s) {
  const changed = () => {
    paint(s);
    point(s);
    s.report();
  };
  const choice = (label, name, options) => {
    const buttons = options.map(([value, text]) => make("button", { type: "button", "aria-pressed": String(s.view[name] === value), onclick: () => {
      s.view[name] = value;
      buttons.forEach((button, i) => button.setAttribute("aria-pressed", String(options[i][0] === value)));
      changed();
    } }, text));
    return make("div", { class: "field" }, make("span", {}, label), make("div", { class: "choice", role: "group", "aria-label": label }, ...buttons));
  };
  const opacity = make("input", { type: "range", min: 0, max: 1, step: 0.05, value: s.view.opacity, "aria-label": "Opacity of the maps" });
  opacity.oninput = () => {
    s.view.opacity = Number(opacity.value);
    changed();
  };
  const parts = [
    make("label", { class: "field" }, make("span", {}, "Opacity"), opacity),
    choice("Values", "mode", [["signed", "Signed"], ["absolute", "Absolute"]]),
  ];
  if (s.maps.length > 1) parts.push(choice("Scale", "scale", [["own", "Own"], ["shared", "Shared"]]));
  if (s.maps.some((map) => map.coarse)) parts.push(choice("Coarse maps", "grid", [[false, "Smooth"], [true, "Grid"]]));
  return make("div", { class: "bar" }, ...parts);
}

function scaleOf(s, map) {
  const shared = s.view.scale === "shared" && s.maps.length > 1;
  return (shared ? s.about.shared : map.own)[s.view.mode];
}

function paint(s) {
  const { height, width } = s.about;
  for (const { map, canvas, under } of s.views) {
    const picture = new ImageData(width, height);
    if (!map) picture.data.set(s.photo);
    else {
      const { limit } = scaleOf(s, map);
      const signed = map.signed && s.view.mode === "signed";
      const { fine, places } = map.planes[s.view.mode];
      for (let y = 0; y < height; y += 1) {
        const row = Math.min(map.rows - 1, Math.floor(((y + 0.5) * map.rows) / height));
        for (let x = 0; x < width; x += 1) {
          const i = y * width + x;
          const column = Math.min(map.columns - 1, Math.floor(((x + 0.5) * map.columns) / width));
          const value = s.view.grid ? places[row * map.columns + column] : fine[i];
          const alpha = limit > 0 ? Math.min(1, Math.abs(value) / limit) * s.view.opacity : 0;
          const color = value < 0 ? BLUE : signed ? RED : ORANGE;
          for (let c = 0; c < 3; c += 1) picture.data[4 * i + c] = s.gray[i] * (1 - alpha) + color[c] * alpha;
          picture.data[4 * i + 3] = 255;
        }
      }
      under.replaceChildren(...legend(s, map, signed));
    }
    canvas.getContext("2d").putImageData(picture, 0, 0);
  }
}

const precise = (value) => (value === 0 ? "0" : (value > 0 ? "+" : "−") + Math.abs(value).toPrecision(3).replace("e-", "e−"));

function legend(s, map, signed) {
  const { limit, low, high, cut } = scaleOf(s, map);
  const rgb = (color) => `rgb(${color})`;
  const ramp = make("div", { class: "ramp" });
  const ends = make("div", { class: "ends mono" });
  if (signed) {
    ramp.style.background = `linear-gradient(90deg, ${rgb(BLUE)}, #999 50%, ${rgb(RED)})`;
    ends.append(make("span", {}, `${precise(-limit)} against`), make("span", {}, "0"), make("span", {}, `for ${precise(limit)}`));
  } else {
    ramp.style.background = `linear-gradient(90deg, #999, ${rgb(ORANGE)})`;
    ends.append(make("span", {}, "0"), make("span", {}, precise(limit)));
  }
  const range = `Values ${precise(low)} to ${precise(high)}${s.view.scale === "shared" && s.maps.length > 1 ? " in all maps" : ""}` +
    (cut ? `; ${cut === 1 ? "1 value" : `${cut} values`} beyond the scale (99th percentile) cut to it` : "");
  const parts = limit > 0 ? [ramp, ends, make("p", { class: "lines quiet" }, range)] : [];
  const own = map.own[s.view.mode], most = Math.max(Math.abs(own.low), Math.abs(own.high));
  if (most > 0 && most < 0.2 * limit) {
    parts.unshift(make("p", { class: "lines problem" }, `Pale, since its values reach only ${precise(most).slice(1)} on a scale to ${precise(limit).slice(1)} that is shared by all maps. Other methods and classes measure in other sizes: with its own scale it can be seen.`));
  }
  if (map.warning) parts.unshift(make("p", { class: "lines problem" }, map.warning));
  return [...parts, ...map.facts.map((line) => make("p", { class: "lines" }, line))];
}

/** The point under the mouse, shown in every panel at once. */
function follow(s, canvas) {
  const { height, width } = s.about;
  const move = (event) => {
    const box = canvas.getBoundingClientRect();
    const x = Math.floor(((event.clientX - box.left) / box.width) * width);
    const y = Math.floor(((event.clientY - box.top) / box.height) * height);
    s.at = [Math.max(0, Math.min(width - 1, x)), Math.max(0, Math.min(height - 1, y))];
    point(s);
  };
  canvas.onpointermove = move;
  canvas.onpointerdown = move;
  canvas.onpointerleave = () => {
    if (document.activeElement?.shadowRoot?.activeElement === canvas) return;
    s.at = null;
    point(s);
  };
  canvas.onkeydown = (event) => {
    const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (!steps) return;
    event.preventDefault();
    const far = event.shiftKey ? 10 : 1;
    const [x, y] = s.at ?? [width >> 1, height >> 1];
    s.at = [Math.max(0, Math.min(width - 1, x + far * steps[0])), Math.max(0, Math.min(height - 1, y + far * steps[1]))];
    point(s);
  };
}

function point(s) {
  const { height, width } = s.about;
  for (const { map, cross, value } of s.views) {
    cross.hidden = !s.at;
    cross.style.display = s.at ? "" : "none";
    if (!s.at) {
      value.textContent = "";
      continue;
    }
    const [x, y] = s.at;
    cross.style.left = `${((x + 0.5) / width) * 100}%`;
    cross.style.top = `${((y + 0.5) / height) * 100}%`;
    const i = y * width + x;
    if (!map) {
      value.textContent = `x ${x}, y ${y}: ${s.photo[4 * i]}, ${s.photo[4 * i + 1]}, ${s.photo[4 * i + 2]}`;
      continue;
    }
    const row = Math.min(map.rows - 1, Math.floor(((y + 0.5) * map.rows) / height));
    const column = Math.min(map.columns - 1, Math.floor(((x + 0.5) * map.columns) / width));
    const { fine, places } = map.planes[s.view.mode];
    value.textContent = precise(s.view.grid ? places[row * map.columns + column] : fine[i]) + (map.coarse && s.view.grid ? ` (place ${row}, ${column})` : "");
  }
}
