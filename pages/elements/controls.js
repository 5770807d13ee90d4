// Small parts that every client-side component here is made of. No state.

/** An element: make("button", {class: "go", onclick: f}, "text", child). Text is never read as HTML. */
function make(tag, attributes = {}, ...children) {
  const svg = ["svg", "path", "line", "circle", "rect", "text", "g", "polyline"].includes(tag);
  const element = svg ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on") || name === "value" || name === "checked") element[name] = value;
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** What `with_head` in component.py packed: the description, and a view of the bytes behind it. */
function unpacked(data) {
  const length = new DataView(data.buffer, data.byteOffset, 4).getUint32(0, true);
  return {
    head: JSON.parse(new TextDecoder().decode(data.subarray(4, 4 + length))),
    body: data.subarray(4 + length),
  };
}

/** A number as people write it: whole, or with at most four digits behind the point. */
function shown(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return "NaN";
  if (!Number.isFinite(value)) return value > 0 ? "∞" : "−∞";
  const size = Math.abs(value);
  let text;
  if (Number.isInteger(value) && size < 1e7) text = String(value);
  else if (size !== 0 && (size < 1e-3 || size >= 1e6)) text = value.toExponential(2);
  else text = String(parseFloat(value.toFixed(4)));
  return text.replace("-", "−");
}

/** The same with brackets around what is negative, for products. */
const bracket = (value) => (value < 0 ? `(${shown(value)})` : shown(value));

/** A number from what was typed: 2, -0.5, 0,5 or 1/9; null where it is not a number. */
function readNumber(text) {
  const clean = text.trim().replace("−", "-").replace(",", ".");
  const fraction = clean.match(/^(-?\d+(?:\.\d+)?)\s*\/\s*(\d+(?:\.\d+)?)$/);
  const value = fraction ? Number(fraction[1]) / Number(fraction[2]) : Number(clean);
  return clean !== "" && Number.isFinite(value) && Math.abs(value) < 1e9 ? value : null;
}

/** Call `action` once, `wait` ms after the last of a series of calls. */
function settled(action, wait) {
  let timer = null;
  return () => {
    clearTimeout(timer);
    timer = setTimeout(action, wait);
  };
}

/** Follow a pointer from pressing to letting go; `move(x, y)` gets shares of the element's box. */
function draggable(element, move, done = () => {}) {
  const at = (event) => {
    const box = element.getBoundingClientRect();
    move((event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height);
  };
  element.onpointerdown = (event) => {
    element.setPointerCapture(event.pointerId);
    at(event);
    event.preventDefault();
    element.focus?.({ preventScroll: true });
  };
  element.onpointermove = (event) => {
    if (element.hasPointerCapture(event.pointerId)) at(event);
  };
  element.onpointerup = () => done();
  element.style.touchAction = "none";
}

/**
 * Enter and leaving the field both hand over what was typed, once; so they do for what a redrawing carried into a new
 * field, of which the browser knows no change. `take` says whether it was sound.
 */
function handsOver(input, take) {
  let sent = input.value;
  input.onchange = input.onblur = () => {
    if (input.value === sent) return;
    sent = input.value;
    if (take()) input.dataset.taken = sent;
  };
  input.onkeydown = (event) => {
    if (event.key === "Enter") input.onchange();
  };
}

/**
 * A figure that is hidden until the viewer has typed one, where `s.predict` is on. `s.guesses` is emptied by the
 * component that changes the question.
 */
function predicted(s, name, value, redraw) {
  if (!s.predict) return make("strong", { class: "mono", "data-figure": name, "data-value": value }, shown(value));
  const guess = s.guesses[name];
  if (guess === undefined) {
    const input = make("input", {
      placeholder: "?",
      "aria-label": `${name}: your answer`,
      "data-field": `guess.${name}`,
      style: "width:80px",
      autocomplete: "off",
    });
    // Leaving the field counts, so that Tab from one answer to the next forgets none.
    handsOver(input, () => {
      const typed = readNumber(input.value),
        sound = typed !== null;
      input.setAttribute("aria-invalid", sound ? "false" : "true");
      if (sound) {
        s.guesses[name] = typed;
        redraw();
      }
      return sound;
    });
    return make("span", { class: "guess plain" }, input);
  }
  const right = guess === value || Math.abs(guess - value) <= 0.005 * Math.max(1, Math.abs(value));
  return make(
    "span",
    {},
    make("strong", { class: "mono", "data-figure": name, "data-value": value }, shown(value)),
    make("span", { class: right ? "right" : "problem" }, right ? " ✓ right" : ` you wrote ${shown(guess)}`),
  );
}
