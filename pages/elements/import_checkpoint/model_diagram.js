// Boxes as large as the maps they stand for: height and depth for the map's sides, thickness for its channels.

const KINDS = { image: "image", convolution: "convolution", pool: "pool", linear: "linear", other: "other" };

function box(group, largest, x) {
  const [channels, height, width] =
    group.shape.length === 3 ? group.shape : [group.shape[group.shape.length - 1], 0, 0];
  // The square root keeps a 1×1 map beside a 224×224 one visible.
  const side = (pixels) => 8 + 120 * Math.sqrt(pixels / largest);
  const flat = group.shape.length !== 3;
  const tall = flat ? 26 + 9 * Math.log2(1 + channels) : side(height);
  const deep = flat ? 0 : 0.38 * side(width);
  const thick = flat ? 12 : 4 + 3.2 * Math.log2(1 + channels);
  return { channels, tall, deep, thick, flat, span: thick + deep };
}

export default function (component) {
  const { data, parentElement } = component;
  const root = parentElement.querySelector(".root");
  const groups = data.groups;
  const largest = Math.max(...groups.map((g) => (g.shape.length === 3 ? Math.max(g.shape[1], g.shape[2]) : 1)));
  const boxes = groups.map((g) => box(g, largest));
  const above = Math.max(...boxes.map((b) => b.tall / 2 + b.deep / 2));
  const middle = above + 20,
    total = 2 * above + 62;
  const detail = make("div", { class: "detail", "aria-live": "polite" });
  const explain = (group) => {
    const shape = group.shape.join(" × ");
    const facts =
      group.kind === "image"
        ? `${shape} (channels × height × width)`
        : `${shape} out · ${group.parameters} parameters · ${group.macs} MACs · sees ` +
          `${group.sees || "nothing of the image"}`;
    detail.replaceChildren(
      make("b", {}, group.title),
      ` · ${facts}`,
      make("div", { class: "quiet" }, group.lines.join(" → ")),
    );
  };
  let x = 14;
  const drawn = groups.map((group, i) => {
    const b = boxes[i];
    const label = b.flat ? String(b.channels) : `${group.shape[1]}×${group.shape[2]}`;
    const span = Math.max(b.span, 7.2 * Math.max(label.length, String(b.channels).length) + 6);
    const left = x + (span - b.span) / 2,
      right = left + b.thick;
    x += span + 12;
    const top = middle - b.tall / 2 + b.deep / 2,
      bottom = middle + b.tall / 2 + b.deep / 2;
    const d = b.deep;
    const element = make(
      "g",
      {
        class: `box ${KINDS[group.kind] || "other"}`,
        tabindex: 0,
        role: "img",
        "aria-label": `${group.title}: ${group.shape.join(" by ")}`,
      },
      make("path", { class: "front", d: `M${left} ${top}H${right}V${bottom}H${left}Z` }),
      d ? make("path", { class: "top", d: `M${left} ${top}l${d} ${-d}h${b.thick}l${-d} ${d}Z` }) : null,
      d ? make("path", { class: "side", d: `M${right} ${top}l${d} ${-d}V${bottom - d}L${right} ${bottom}Z` }) : null,
      make("text", { x: left + b.span / 2, y: total - 22 }, b.flat ? String(b.channels) : String(b.channels)),
      b.flat ? null : make("text", { class: "quiet", x: left + b.span / 2, y: total - 7 }, label),
    );
    element.onmouseenter = element.onfocus = () => explain(group);
    element.onkeydown = (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!step) return;
      event.preventDefault();
      drawn[Math.min(drawn.length - 1, Math.max(0, i + step))].focus();
    };
    return element;
  });
  const svg = make(
    "svg",
    {
      width: x + 4,
      height: total,
      viewBox: `0 0 ${x + 4} ${total}`,
      role: "group",
      "aria-label": "The network, from the image to the classes",
    },
    ...drawn,
  );
  const legend = make(
    "div",
    { class: "legend" },
    ...["image", "convolution", "pool", "linear", "other"]
      .filter((k) => groups.some((g) => g.kind === k))
      .map((k) => make("span", {}, make("i", { style: `background:var(--${k})` }), k)),
    make("span", { class: "quiet" }, "below: channels, height×width; point at a box for its layers"),
  );
  root.replaceChildren(legend, make("div", { class: "scroll" }, svg), detail);
  explain(groups[groups.length - 1]);
}
