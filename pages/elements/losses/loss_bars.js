// Cross-entropy = entropy + KL divergence, on two distributions whose bars are dragged.

const barMemory = new WeakMap();

export default function (component) {
  lossPart(component, barMemory, drawBars);
}

/** Class i gets the share `value`; the others keep their proportions. */
function withShare(shares, i, value) {
  const rest = 1 - shares[i],
    others = shares.length - 1;
  const next = shares.map((v, j) =>
    j === i ? value : rest > 1e-9 ? (v * (1 - value)) / rest : (1 - value) / others,
  );
  return next.map((v) => Number(v.toFixed(4)));
}

function drawBars(s) {
  const base = s.values.loss_bars_base[0] === 2 ? 2 : Math.E;
  const total = (list) => list.reduce((a, b) => a + b, 0);
  const shares = (name) => s.values[name].map((v) => v / total(s.values[name]));
  const p = shares("loss_true"),
    q = shares("loss_predicted");
  const H = crossEntropy(p, p, base),
    CE = crossEntropy(p, q, base),
    KL = CE - H;
  const figure = (name, value) => predicted(s, name, value, s.redraw);
  const resize = (by) => () => {
    const n = clamp(s.values.loss_true.length + by, 2, 6);
    const fit = (list) => {
      const next = list.slice(0, n);
      while (next.length < n) next.push(0.1);
      const sum = total(next) || 1;
      return next.map((v) => Number((v / sum).toFixed(4)));
    };
    s.set({ loss_true: fit(shares("loss_true")), loss_predicted: fit(shares("loss_predicted")) });
  };
  const bar = make(
    "div",
    { class: "bar" },
    chooseBase(s, "loss_bars_base"),
    make("button", { onclick: () => s.set({ loss_true: p.map((_, i) => (i ? 0 : 1)) }) }, "one true class"),
    make("button", { onclick: () => s.set({ loss_predicted: shares("loss_true") }) }, "predict the truth"),
    make(
      "button",
      { onclick: () => s.set({ loss_predicted: p.map(() => Number((1 / p.length).toFixed(4))) }) },
      "know nothing",
    ),
    make("button", { onclick: resize(-1), "aria-label": "one class fewer" }, "− class"),
    make("button", { onclick: resize(1), "aria-label": "one class more" }, "+ class"),
  );
  const chart = (values, name, title, css) =>
    make(
      "div",
      {},
      make("h4", {}, title),
      make(
        "div",
        { class: "columns" },
        ...values.map((value, i) => {
          const fill = make("div", { class: `fill ${css}`, style: `height:${(100 * value).toFixed(2)}%` });
          const column = make(
            "div",
            {
              class: "column",
              tabindex: 0,
              role: "slider",
              "aria-label": `${title}, class ${i + 1}`,
              "aria-valuenow": value.toFixed(3),
              "aria-valuemin": 0,
              "aria-valuemax": 1,
              "data-field": `${name}.${i}`,
            },
            fill,
            make("span", {}, shown(Number(value.toFixed(3)))),
          );
          const put = (v) => s.set({ [name]: withShare(shares(name), i, clamp(v, 0, 1)) });
          keepDragging(s, { svg: column }, (_, shareY) => put(Number((1 - shareY).toFixed(3))));
          column.onkeydown = (event) => {
            const step = { ArrowUp: 0.01, ArrowDown: -0.01, PageUp: 0.1, PageDown: -0.1 }[event.key];
            if (!step) return;
            event.preventDefault();
            put(shares(name)[i] + step);
          };
          return column;
        }),
      ),
    );
  const most = Math.max(Number.isFinite(CE) ? CE : 0, 1e-9),
    share = (v) =>
      `${Number.isFinite(CE) ? Math.max(0, (100 * v) / Math.max(most, logTo(p.length, base))) : v === H ? 30 : 70}%`;
  const secret = s.predict && s.guesses["cross-entropy"] === undefined;
  const sum = make(
    "div",
    { class: "stacked" },
    make("div", { class: "squared fill", style: `width:${share(H)}` }, secret ? "" : "entropy"),
    make(
      "div",
      { class: "entropy fill", style: `width:${share(KL)}` },
      secret ? "" : Number.isFinite(CE) ? "KL divergence" : "KL divergence: infinite",
    ),
  );
  const table = make(
    "table",
    {},
    make("tr", {}, ...["class", "p", "q", "−p log p", "p log(p/q)", "−p log q"].map((t) => make("th", {}, t))),
    ...p.map((v, i) =>
      make(
        "tr",
        {},
        ...[
          i + 1,
          v,
          q[i],
          v > 0 ? -v * logTo(v, base) : 0,
          v > 0 ? v * logTo(v / q[i], base) : 0,
          v > 0 ? -v * logTo(q[i], base) : 0,
        ].map((value, k) => make("td", { class: "mono" }, k > 2 && secret ? "?" : shown(value))),
      ),
    ),
    make(
      "tr",
      {},
      make("th", { colspan: 3 }, "sum"),
      make("td", {}, figure("entropy", H)),
      make("td", {}, figure("KL divergence", KL)),
      make("td", {}, figure("cross-entropy", CE)),
    ),
  );
  const words = Number.isFinite(CE)
    ? `${shown(H)} + ${shown(KL)} = ${shown(CE)}. Training changes q only, so lowering the cross-entropy is ` +
      `lowering the KL divergence; the entropy of the truth stays.`
    : "A class that can happen was ruled out (q = 0): no finite price is enough. This is why predictions are " +
      "clipped or smoothed.";
  redrawn(
    s,
    bar,
    make(
      "div",
      { class: "parts" },
      make(
        "div",
        { class: "pair" },
        chart(p, "loss_true", "Truth p: drag the bars", "squared"),
        chart(q, "loss_predicted", "Prediction q: drag the bars", "entropy"),
      ),
      make(
        "div",
        {},
        make("h4", {}, "Cross-entropy = entropy + KL divergence"),
        sum,
        table,
        secret ? null : make("p", { class: "quiet" }, words),
      ),
    ),
  );
}
