// A pad for pen, finger and mouse. White on black, as digits and clothes are stored.
const PAD_SIDE = 560, // pixels of the canvas, whatever its size on the screen
  PEN = 64, // its width: thinner lines vanish in 8 × 8 pixels
  SEND_EVERY = 100; // ms

export default function ({ data, parentElement, setStateValue, setTriggerValue }) {
  const root = parentElement.querySelector(".root");
  if (!root.pad) buildPad(root);
  const pad = root.pad,
    size = `${data.height}x${data.width}`;
  pad.send = (text) => setStateValue("drawn", text);
  pad.take = (text) => setTriggerValue("taken", text);
  [pad.height, pad.width] = [data.height, data.width];
  if (pad.size !== size) {
    pad.size = size;
    update(pad);
  }
  showAnswer(pad, data.answer);
}

function buildPad(root) {
  const canvas = make("canvas", {
    class: "paper",
    role: "img",
    "aria-label": "Drawing pad: draw with the mouse, a pen or a finger",
  });
  canvas.width = canvas.height = PAD_SIDE;
  const seen = make("canvas", { class: "seen", role: "img", "aria-label": "What the network sees" });
  const bars = make("div", { class: "answer", "aria-live": "polite" });
  const pad = { canvas, seen, bars, strokes: [], sentAt: 0, timer: null };
  const undo = make("button", { type: "button", onclick: () => (pad.strokes.pop(), update(pad)) }, "Undo");
  const clear = make("button", { type: "button", onclick: () => ((pad.strokes = []), update(pad)) }, "Clear");
  const take = make("button", { type: "button", class: "take", onclick: () => pad.take(pad.text) }, "Use it");
  take.title = "Make it the image of every page";
  pad.buttons = [undo, clear, take];
  const side = make("div", { class: "side" }, make("p", { class: "quiet" }, "What the network sees"), seen, bars);
  root.replaceChildren(
    make("div", { class: "pad" }, canvas, side),
    make("div", { class: "bar" }, undo, clear, take),
  );
  root.pad = pad;
  canvas.onpointerdown = (event) => {
    canvas.setPointerCapture(event.pointerId);
    pad.strokes.push([placeOf(event, canvas)]);
    event.preventDefault();
    update(pad);
  };
  canvas.onpointermove = (event) => {
    if (!canvas.hasPointerCapture(event.pointerId) || !pad.strokes.length) return;
    const events = event.getCoalescedEvents?.() ?? [];
    for (const one of events.length ? events : [event]) pad.strokes.at(-1).push(placeOf(one, canvas));
    update(pad);
  };
  canvas.style.touchAction = "none";
  update(pad);
}

function placeOf(event, canvas) {
  const box = canvas.getBoundingClientRect();
  return [((event.clientX - box.left) / box.width) * PAD_SIDE, ((event.clientY - box.top) / box.height) * PAD_SIDE];
}

/** Draw the strokes, make the input of them, and send it, at most every 100 ms and the last one always. */
function update(pad) {
  const context = pad.canvas.getContext("2d", { willReadFrequently: true });
  context.fillStyle = "#000";
  context.fillRect(0, 0, PAD_SIDE, PAD_SIDE);
  context.strokeStyle = "#fff";
  context.lineWidth = PEN;
  context.lineCap = context.lineJoin = "round";
  for (const stroke of pad.strokes) {
    context.beginPath();
    context.moveTo(...stroke[0]);
    for (const place of stroke.length > 1 ? stroke.slice(1) : stroke) context.lineTo(...place);
    context.stroke();
  }
  for (const button of pad.buttons) button.disabled = !pad.strokes.length;
  if (!pad.height) return;
  const rgba = context.getImageData(0, 0, PAD_SIDE, PAD_SIDE).data;
  const ink = new Uint8Array(PAD_SIDE * PAD_SIDE);
  for (let i = 0; i < ink.length; i += 1) ink[i] = rgba[4 * i];
  const values = meansOverAreas(ink, PAD_SIDE, boxRoundInk(ink, PAD_SIDE), pad.height, pad.width);
  showSeen(pad, values);
  pad.text = btoa(String.fromCharCode(...values));
  const wait = pad.sentAt + SEND_EVERY - performance.now();
  clearTimeout(pad.timer);
  pad.timer = setTimeout(
    () => {
      pad.sentAt = performance.now();
      if (pad.sent !== pad.text) pad.send?.((pad.sent = pad.text));
    },
    Math.max(0, wait),
  );
}

/** The smallest square round all ink, [left, top, side] in pixels; null where there is none. */
function boxRoundInk(ink, side) {
  let [left, top, right, bottom] = [side, side, -1, -1];
  for (let y = 0; y < side; y += 1)
    for (let x = 0; x < side; x += 1)
      if (ink[y * side + x] > 127) {
        left = Math.min(left, x);
        right = Math.max(right, x);
        top = Math.min(top, y);
        bottom = Math.max(bottom, y);
      }
  if (right < 0) return null;
  const largest = Math.max(right - left, bottom - top) + 1;
  return [(left + right + 1 - largest) / 2, (top + bottom + 1 - largest) / 2, largest];
}

/** The box in rows × columns cells, each the mean over its area; what lies beyond the pad is empty. */
function meansOverAreas(ink, side, box, rows, columns) {
  const values = new Uint8Array(rows * columns);
  if (!box) return values;
  const [left, top, size] = box;
  const across = shares(left, size, columns, side),
    down = shares(top, size, rows, side);
  for (let r = 0; r < rows; r += 1)
    for (let c = 0; c < columns; c += 1) {
      let sum = 0;
      for (const [y, high] of down[r]) for (const [x, wide] of across[c]) sum += ink[y * side + x] * high * wide;
      values[r * columns + c] = Math.round(sum / ((size / rows) * (size / columns)));
    }
  return values;
}

/** For each cell of an axis, the pixels in it, each with the part of it that lies there. */
function shares(start, size, cells, side) {
  return Array.from({ length: cells }, (_, cell) => {
    const from = start + (cell * size) / cells,
      to = start + ((cell + 1) * size) / cells,
      found = [];
    for (let i = Math.max(0, Math.floor(from)); i < Math.min(side, to); i += 1)
      found.push([i, Math.min(i + 1, to) - Math.max(i, from)]);
    return found;
  });
}

function showSeen(pad, values) {
  [pad.seen.width, pad.seen.height] = [pad.width, pad.height];
  const image = new ImageData(pad.width, pad.height);
  values.forEach((value, i) => image.data.set([value, value, value, 255], 4 * i));
  pad.seen.getContext("2d").putImageData(image, 0, 0);
}

function showAnswer(pad, answer) {
  pad.bars.replaceChildren(
    ...(answer.length && pad.strokes.length
      ? answer.map(([name, share]) =>
          make(
            "div",
            { class: "share" },
            make("i", { style: `width:${(100 * share).toFixed(1)}%` }),
            make("span", {}, name),
            make("b", {}, `${(100 * share).toFixed(1)}%`),
          ),
        )
      : [make("p", { class: "quiet" }, "Draw something large. Thick lines are read best.")]),
  );
}
