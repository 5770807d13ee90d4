// Pictures that can be clicked, each with its probabilities as bars.
export default function ({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector(".root");
  const { head, body } = unpacked(data),
    { tiles, height, width, beside, chosen } = head;
  root.pick = (id) => setTriggerValue("picked", id);
  // The same pictures stay the same buttons: one that is replaced while it is pressed would lose the click.
  const shown = JSON.stringify([tiles, height, width]);
  if (root.shown !== shown) draw(root, tiles, height, width, body);
  root.firstChild.classList.toggle("beside", beside);
  root.shown = shown;
  for (const button of root.querySelectorAll("button"))
    button.setAttribute("aria-pressed", String(Number(button.dataset.id) === chosen));
}

function draw(root, tiles, height, width, pixels) {
  const factor = Math.max(1, Math.round(96 / Math.max(height, width)));
  const focused = root.getRootNode().activeElement?.dataset?.id;
  const list = make("ul", { class: "wall" });
  tiles.forEach((tile, place) => {
    const canvas = make("canvas", { style: `width:${width * factor}px` });
    canvas.width = width;
    canvas.height = height;
    const image = new ImageData(width, height),
      start = place * width * height * 3;
    for (let i = 0; i < width * height; i += 1) {
      for (let c = 0; c < 3; c += 1) image.data[4 * i + c] = pixels[start + 3 * i + c];
      image.data[4 * i + 3] = 255;
    }
    canvas.getContext("2d").putImageData(image, 0, 0);
    const lines = tile.lines.map(([name, share, isTrue]) => {
      const percent = `${(100 * share).toFixed(share > 0.9995 || share < 0.0005 ? 0 : 1)}%`;
      return make(
        "span",
        { class: isTrue ? "line true" : "line", title: `${name}: ${percent}${isTrue ? ", the label" : ""}` },
        make("i", { style: `width:${(100 * share).toFixed(1)}%` }),
        make("span", {}, name),
        make("span", { class: "share" }, percent),
      );
    });
    const button = make(
      "button",
      {
        type: "button",
        "data-id": tile.id,
        title: "Make it the chosen image of every page",
        onclick: () => root.pick(tile.id),
      },
      canvas,
      make("span", { class: "title" }, tile.title),
      ...lines,
    );
    list.append(make("li", {}, button));
  });
  root.replaceChildren(list);
  if (focused !== undefined) list.querySelector(`[data-id="${focused}"]`)?.focus();
}
