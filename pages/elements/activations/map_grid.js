// The maps of many channels, each as large as the others on the screen; a click picks one.
const ORANGE = [[0, 0, 0], [120, 40, 0], [255, 140, 20], [255, 240, 200]];

export default function ({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector(".root");
  const { head, body } = unpacked(data), { items, signed, side, chosen, title } = head;
  const colors = palette(signed), list = make("ul", { class: "maps" });
  let at = 0;
  items.forEach((item) => {
    const canvas = make("canvas", { role: "img", "aria-label": `${item.name}: ${item.note}`, style: `aspect-ratio:${item.width}/${item.height}` });
    canvas.width = item.width;
    canvas.height = item.height;
    const image = new ImageData(item.width, item.height), count = item.width * item.height;
    for (let i = 0; i < count; i++) image.data.set(colors[data[at + i]], 4 * i);
    at += count;
    canvas.getContext("2d").putImageData(image, 0, 0);
    list.append(make("li", {}, make("button", {
      type: "button", title: title ? `${item.note}. ${title}` : item.note, "data-id": item.id, "aria-pressed": item.id === chosen ? "true" : "false",
      onclick: () => setTriggerValue("picked", item.id),
    }, canvas, make("b", {}, item.name), make("span", {}, item.note))));
  });
  list.style.setProperty("--side", `${side}px`);
  root.replaceChildren(list);
}

/** 256 colors: from black over orange, or from blue over white to red. */
function palette(signed) {
  return Array.from({ length: 256 }, (_, level) => {
    if (signed) {
      const share = Math.max(-1, (level - 128) / 127), away = Math.abs(share), end = share > 0 ? [202, 0, 32] : [5, 85, 190];
      return [...end.map((part) => 247 + (part - 247) * away), 255];
    }
    const place = (level / 255) * (ORANGE.length - 1), i = Math.min(ORANGE.length - 2, Math.floor(place));
    return [...ORANGE[i].map((part, k) => part + (ORANGE[i + 1][k] - part) * (place - i)), 255];
  });
}
