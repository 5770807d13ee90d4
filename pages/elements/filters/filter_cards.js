// One card a channel: its kernel where it can be seen, the patches it answers to most, facts, and a switch.
export default function ({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector(".root");
  const { head, body: bytes } = unpacked(data),
    { cards, side, kernel, kernel_words } = head;
  let at = 0;
  const picture = (width, height, what, name) => {
    const canvas = make("canvas", { role: "img", "aria-label": what, title: what, class: name });
    canvas.width = width;
    canvas.height = height;
    const image = new ImageData(width, height);
    image.data.set(bytes.subarray(at, at + 4 * width * height));
    at += 4 * width * height;
    canvas.getContext("2d").putImageData(image, 0, 0);
    return canvas;
  };
  const active = parentElement.getRootNode().activeElement?.dataset;
  const focused =
    active && active.channel !== undefined ? `[data-channel="${active.channel}"][data-does="${active.does}"]` : "";
  const list = make("ul", { class: "cards" });
  for (const card of cards) {
    const pictures = [];
    if (kernel) pictures.push(picture(kernel[1], kernel[0], kernel_words, "kernel"));
    for (const value of card.values) pictures.push(picture(side, side, `activation ${shown(value)}`));
    list.append(
      make(
        "li",
        { class: card.off ? "card off" : "card" },
        make(
          "header",
          {},
          make("b", {}, `${card.channel}`),
          ...card.badges.map((b) => make("span", { class: "badge", title: b[1] }, b[0])),
          make(
            "button",
            {
              type: "button",
              "data-channel": card.channel,
              "data-does": "switch",
              "aria-pressed": card.off ? "true" : "false",
              "aria-label":
                `Channel ${card.channel} is ${card.off ? "off" : "on"}: switch it ` + `${card.off ? "on" : "off"}`,
              onclick: () => setTriggerValue("switched", card.channel),
            },
            card.off ? "Off" : "On",
          ),
        ),
        make(
          "button",
          {
            type: "button",
            class: "patches",
            "data-channel": card.channel,
            "data-does": "open",
            "aria-label": `Look at channel ${card.channel}`,
            title: "Look at this channel",
            onclick: () => setTriggerValue("opened", card.channel),
          },
          ...pictures,
        ),
        ...card.lines.map((line) => make("p", {}, line)),
      ),
    );
  }
  root.replaceChildren(list);
  if (focused) list.querySelector(focused)?.focus();
}
