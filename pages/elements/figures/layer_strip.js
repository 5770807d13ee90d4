// The network as a map: a box for each layer, as high as its map and as thick as it has channels. Stages and blocks
// are one box each until they are opened; the one with the chosen layer is open, and that layer in the middle.
export default function ({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector(".root");
  const { layers, stages, chosen } = data;
  const s = (root.strip ??= { open: new Set() });
  s.choose = (name) => setTriggerValue("chosen", name);
  s.chosen = chosen;
  s.byName = new Map(layers.map((layer) => [layer.name, layer]));
  s.largest = Math.max(...layers.map((layer) => Math.max(...layer.map_size)), 1);
  s.stages = stages;
  const moved = s.last !== chosen;
  s.last = chosen;
  draw(root, s, moved);
}

function draw(root, s, moved) {
  const before = root.querySelector(".strip");
  const scrolled = before?.scrollLeft,
    active = root.getRootNode().activeElement,
    focused = active?.dataset?.layer ?? active?.dataset?.group;
  const strip = make("div", {
    class: "strip",
    role: "group",
    "aria-label": "Convolutions, from the image to the classes",
  });
  s.stages.forEach((stage, i) => {
    if (i) strip.append(make("span", { class: "arrow", "aria-hidden": "true" }, "›"));
    strip.append(group(root, s, stage.name, stage.blocks, ""));
  });
  strip.onkeydown = (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const all = [...strip.querySelectorAll("button")],
      at = all.indexOf(root.getRootNode().activeElement);
    all[Math.min(all.length - 1, Math.max(0, at + step))]?.focus();
  };
  root.replaceChildren(strip);
  if (scrolled !== undefined && !moved) strip.scrollLeft = scrolled;
  else {
    // Not scrollIntoView, which would scroll the page as well.
    const current = strip.querySelector('[aria-pressed="true"]');
    if (current) {
      const box = current.getBoundingClientRect();
      strip.scrollLeft = box.left - strip.getBoundingClientRect().left - (strip.clientWidth - box.width) / 2;
    }
  }
  if (focused)
    [...strip.querySelectorAll("button")]
      .find((button) => focused === (button.dataset.layer ?? button.dataset.group))
      ?.focus({ preventScroll: true });
}

/** A stage or block: a layer where it is only one, else a box that opens. */
function group(root, s, name, blocks, above) {
  const names = blocks.flatMap((block) => block.layers);
  if (names.length === 1) return layerButton(s, s.byName.get(names[0]), above);
  const here = names.includes(s.chosen),
    isOpen = here || s.open.has(name);
  const members = names.map((one) => s.byName.get(one)),
    last = members.at(-1),
    off = members.reduce((sum, layer) => sum + layer.off, 0);
  const toggle = make(
    "button",
    {
      type: "button",
      class: "stage",
      "data-group": name,
      "aria-expanded": String(isOpen),
      title: isOpen ? `Fold ${name}` : `${name}: ${names.length} convolutions. Click to unfold.`,
      disabled: here,
      onclick: () => {
        if (s.open.has(name)) s.open.delete(name);
        else s.open.add(name);
        draw(root, s, false);
      },
    },
    off && !isOpen ? make("em", {}, `${off} off`) : null,
    isOpen ? null : pile(s, members),
    make("b", {}, `${readable(name, above)}${isOpen ? "" : " ▸"}`),
    isOpen ? null : make("span", {}, `${names.length} layers, ${last.map_size.join(" × ")}`),
  );
  if (!isOpen) return toggle;
  const inside = make("div", { class: "inside" });
  blocks.forEach((block, i) => {
    if (i) inside.append(make("span", { class: "arrow", "aria-hidden": "true" }, "›"));
    const parts = block.layers.map((layer) => ({ name: layer, layers: [layer] }));
    inside.append(group(root, s, block.name, parts, name));
  });
  return make("div", { class: here ? "open here" : "open" }, toggle, inside);
}

function layerButton(s, layer, above) {
  return make(
    "button",
    {
      type: "button",
      "data-layer": layer.name,
      "aria-pressed": layer.name === s.chosen ? "true" : "false",
      title: `${layer.name}: ${layer.channels} filters of ${layer.kernel_size.join(" × ")}, measured ${layer.place}`,
      onclick: () => s.choose(layer.name),
    },
    layer.off ? make("em", {}, `${layer.off} off`) : null,
    box(s, layer),
    make("b", {}, readable(layer.name, above)),
    make("span", {}, `${layer.channels} × ${layer.map_size.join(" × ")}`),
  );
}

/** A name without what stands above it already. */
function readable(name, above) {
  return above && name.startsWith(`${above}.`) ? name.slice(above.length + 1) : name;
}

function box(s, layer) {
  const high = 8 + 44 * Math.sqrt(Math.max(...layer.map_size) / s.largest),
    wide = 6 + 3.5 * Math.log2(1 + layer.channels);
  return make("i", { style: `width:${wide}px;height:${high}px` });
}

/** The first and the last layer of a stage, and that there is more between. */
function pile(s, members) {
  const shown = members.length > 2 ? [members[0], members[members.length >> 1], members.at(-1)] : members;
  return make("div", { class: "pile" }, ...shown.map((layer) => box(s, layer)));
}
