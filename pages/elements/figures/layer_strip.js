// The network as a strip of its convolutions: a box as high as its map and as thick as it has channels.
export default function ({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector(".root");
  const { layers, chosen } = data;
  const largest = Math.max(...layers.map((l) => Math.max(...l.map_size)), 1);
  const focused = parentElement.getRootNode().activeElement?.dataset?.layer;
  const strip = make("div", {
    class: "strip",
    role: "group",
    "aria-label": "Convolutions, from the image to the classes",
  });
  const scrolled = root.querySelector(".strip")?.scrollLeft;
  layers.forEach((layer, i) => {
    if (i) strip.append(make("span", { class: "arrow", "aria-hidden": "true" }, "›"));
    const high = 8 + 44 * Math.sqrt(Math.max(...layer.map_size) / largest),
      wide = 6 + 3.5 * Math.log2(1 + layer.channels);
    const shape = `${layer.channels} × ${layer.map_size[0]} × ${layer.map_size[1]}`;
    const button = make(
      "button",
      {
        type: "button",
        "data-layer": layer.name,
        "aria-pressed": layer.name === chosen ? "true" : "false",
        title: `${layer.name}: ${layer.channels} filters of ${layer.kernel_size.join(" × ")}, measured ${layer.place}`,
        onclick: () => setTriggerValue("chosen", layer.name),
      },
      layer.off ? make("em", {}, `${layer.off} off`) : null,
      make("i", { style: `width:${wide}px;height:${high}px` }),
      make("b", {}, layer.name),
      make("span", {}, shape),
    );
    button.onkeydown = (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!step) return;
      event.preventDefault();
      const all = [...strip.querySelectorAll("button")];
      all[Math.min(all.length - 1, Math.max(0, all.indexOf(button) + step))].focus();
    };
    strip.append(button);
  });
  root.replaceChildren(strip);
  if (scrolled !== undefined) strip.scrollLeft = scrolled;
  else {
    // Not scrollIntoView, which would scroll the page as well.
    const current = strip.querySelector('[aria-pressed="true"]');
    if (current) strip.scrollLeft = current.offsetLeft - strip.offsetLeft - strip.clientWidth / 2;
  }
  if (focused) [...strip.querySelectorAll("button")].find((b) => b.dataset.layer === focused)?.focus();
}
