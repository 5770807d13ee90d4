// Softmax by hand, the numbers at which it overflows, the shifted one that does not, and its Jacobian.

const softmaxMemory = new WeakMap();

export default function (component) {
  lossPart(component, softmaxMemory, drawSoftmax);
}

function drawSoftmax(s) {
  const z = s.values.loss_z,
    single = s.values.loss_bits[0] === 32,
    round = single ? Math.fround : (v) => v;
  const powers = z.map((v) => round(Math.exp(round(v)))),
    total = powers.reduce((a, b) => round(a + b), 0),
    naive = powers.map((v) => round(v / total));
  const most = Math.max(...z),
    shifted = z.map((v) => round(Math.exp(round(round(v) - round(most))))),
    shiftedTotal = shifted.reduce((a, b) => round(a + b), 0);
  const p = shifted.map((v) => round(v / shiftedTotal)),
    exact = softmaxShifted(z);
  const put = (i) => (value) => s.set({ loss_z: s.values.loss_z.map((v, j) => (j === i ? value : v)) });
  const bits = (value) =>
    make(
      "button",
      {
        "aria-pressed": s.values.loss_bits[0] === value ? "true" : "false",
        onclick: () => s.set({ loss_bits: [value] }),
      },
      `float${value}`,
    );
  const add = (by) => () => s.set({ loss_z: s.values.loss_z.map((v) => clamp(v + by, -1e6, 1e6)) });
  const bar = make(
    "div",
    { class: "bar" },
    make("span", { class: "bar", role: "group", "aria-label": "number type", style: "margin:0" }, bits(32), bits(64)),
    make("button", { onclick: add(100) }, "all + 100"),
    make("button", { onclick: add(-100) }, "all − 100"),
    make("button", { onclick: () => s.set({ loss_z: [1, 2, 3] }) }, "1, 2, 3"),
    make("button", { onclick: () => s.set({ loss_z: [1000, 1001, 1002] }) }, "1000, 1001, 1002"),
    z.length < 6 ? make("button", { onclick: () => s.set({ loss_z: [...s.values.loss_z, 0] }) }, "+ class") : null,
    z.length > 2
      ? make("button", { onclick: () => s.set({ loss_z: s.values.loss_z.slice(0, -1) }) }, "− class")
      : null,
  );
  const figure = (i) => predicted(s, `p${i + 1}`, p[i], s.redraw);
  const hidden = s.predict && Object.keys(s.guesses).length === 0;
  const bad = (value) => (Number.isFinite(value) ? "mono" : "mono problem");
  const table = make(
    "table",
    {},
    make(
      "tr",
      {},
      ...["logit z", "", "e^z", "e^z / Σ", "z − max", "e^(z − max)", "softmax"].map((t) => make("th", {}, t)),
    ),
    ...z.map((v, i) => {
      // A range stays while its number is inside, so that it does not run away under the pointer.
      if (!s.bounds?.[i] || v < s.bounds[i][0] || v > s.bounds[i][1])
        (s.bounds ??= [])[i] = Math.abs(v) <= 20 ? [-20, 20] : [Math.round(v) - 20, Math.round(v) + 20];
      const range = rangeInput(s, `range.${i}`, `logit ${i + 1}`, v, [...s.bounds[i], 0.1], put(i));
      return make(
        "tr",
        {},
        make(
          "td",
          {},
          numberInput(s, v, `z.${i}`, (n) => Math.abs(n) <= 1e6, "a number from −1000000 to 1000000", put(i)),
        ),
        make("td", {}, range),
        make("td", { class: bad(powers[i]) }, shown(powers[i])),
        make("td", { class: bad(naive[i]), "data-naive": i, "data-value": naive[i] }, hidden ? "?" : shown(naive[i])),
        make("td", { class: "mono" }, shown(v - most)),
        make("td", { class: "mono" }, hidden ? "?" : shown(shifted[i])),
        make(
          "td",
          {},
          figure(i),
          make(
            "div",
            { class: "meter" },
            make("div", { class: "entropy fill", style: `width:${hidden ? 0 : (100 * p[i]).toFixed(1)}%` }),
          ),
        ),
      );
    }),
    make(
      "tr",
      {},
      make("th", { colspan: 2 }, "Σ"),
      make("td", { class: bad(total) }, shown(total)),
      make("td"),
      make("td"),
      make("td", { class: "mono" }, hidden ? "?" : shown(shiftedTotal)),
      make("td"),
    ),
  );
  const limit = single ? "88.72" : "709.78";
  const words = naive.some(Number.isNaN)
    ? powers.some((v) => v === Infinity)
      ? `e^z is larger than the largest float${single ? 32 : 64} from z = ${limit} on: it becomes infinite, and ` +
        `∞/∞ is not a number. Taking the largest z off first changes nothing in the result, and no power is above 1.`
      : "All powers have become 0, and 0/0 is not a number. With the largest z taken off first, one power is always 1."
    : `The two ways agree here. Add 100 to all a few times: the probabilities stay, but from z = ${limit} on e^z ` +
      `is infinite in float${single ? 32 : 64}.`;
  s.hover ??= [0, 0];
  const [hi, hj] = [Math.min(s.hover[0], z.length - 1), Math.min(s.hover[1], z.length - 1)];
  const said = make("div", { class: "mono quiet", role: "status" });
  const say = (i, j) => {
    s.hover = [i, j];
    said.textContent = hidden
      ? "Type a probability first."
      : i === j
        ? `∂p${i + 1}/∂z${j + 1} = p${i + 1} (1 − p${j + 1}) = ${shown(exact[i])} · ${shown(1 - exact[j])} = ` +
          `${shown(exact[i] * (1 - exact[j]))}`
        : `∂p${i + 1}/∂z${j + 1} = −p${i + 1} p${j + 1} = −${shown(exact[i])} · ${shown(exact[j])} = ` +
          `${shown(-exact[i] * exact[j])}`;
  };
  const jacobian = make(
    "div",
    { class: "jacobian", style: `grid-template-columns:repeat(${z.length + 1}, auto)` },
    make("span"),
    ...z.map((_, j) => make("span", { class: "quiet" }, `∂z${j + 1}`)),
  );
  exact.forEach((pi, i) => {
    jacobian.append(make("span", { class: "quiet" }, `∂p${i + 1}`));
    exact.forEach((pj, j) => {
      const value = pi * ((i === j ? 1 : 0) - pj);
      jacobian.append(
        make(
          "button",
          {
            class: "mono",
            "data-jacobian": `${i}.${j}`,
            "data-value": value,
            onpointerenter: () => say(i, j),
            onfocus: () => say(i, j),
            "data-field": `j.${i}.${j}`,
            style:
              `background:color-mix(in srgb, ${value < 0 ? "#3b82f6" : "#e8710a"} ` +
              `${hidden ? 0 : Math.round(240 * Math.abs(value))}%, var(--st-background-color))`,
          },
          hidden ? "?" : shown(value),
        ),
      );
    });
  });
  say(hi, hj);
  redrawn(
    s,
    bar,
    make(
      "div",
      { class: "parts" },
      make(
        "div",
        { style: "flex:2 1 520px; overflow-x:auto" },
        table,
        hidden ? null : make("p", { class: "quiet" }, words),
      ),
      make(
        "div",
        {},
        make("h4", {}, "The Jacobian: how each probability follows each logit"),
        jacobian,
        said,
        make("p", { class: "quiet" }, "What one class gains the others lose: every row and column adds up to 0."),
      ),
    ),
  );
}
