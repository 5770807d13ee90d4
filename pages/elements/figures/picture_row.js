// Pictures of one size with a caption each; a click picks one.
export default function ({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector(".root");
  const { head, body: bytes } = unpacked(data),
    { items, height, width, title } = head;
  const list = make("ul", { class: "row" });
  items.forEach((item, i) => {
    const canvas = make("canvas", { role: "img", "aria-label": item.caption });
    canvas.width = width;
    canvas.height = height;
    const image = new ImageData(width, height),
      size = 4 * width * height;
    image.data.set(bytes.subarray(i * size, (i + 1) * size));
    canvas.getContext("2d").putImageData(image, 0, 0);
    const caption = make("span", { style: `max-width:${width}px` }, item.caption);
    list.append(
      make(
        "li",
        {},
        make("button", { type: "button", title, onclick: () => setTriggerValue("picked", item.id) }, canvas, caption),
      ),
    );
  });
  root.replaceChildren(list);
}
