// Beside and below the maps: the legend, the image that is pointed at, and rows of pictures.

const near = (s, all, i) => all.subarray(i * s.head.near, (i + 1) * s.head.near);

function legend(s, again) {
  if (s.colored.scale) {
    const what =
      s.color === "confidence"
        ? "probability of the predicted class"
        : `share of its ${s.head.near} nearest that are near in the picture too`;
    return make(
      "div",
      { class: "scale" },
      make("span", { class: "ramp", style: `background:linear-gradient(90deg,${SCALE.map((c) => `rgb(${c})`)})` }),
      make("span", { class: "ends" }, make("span", {}, "0%"), make("span", {}, "100%")),
      make("span", { class: "quiet" }, what),
    );
  }
  const counts = new Uint32Array(s.colored.list.length);
  for (const group of s.groups[0]) counts[group] += 1;
  const list = make("ul", { class: "legend", "aria-label": "Click a name to see these only" });
  s.colored.list.forEach((group, k) => {
    if (!counts[k] && group.name === "another class") return;
    list.append(
      make(
        "li",
        {},
        make(
          "button",
          {
            "aria-pressed": String(s.dimmed.has(k)),
            title: "Show these only",
            onclick: () => {
              if (s.dimmed.has(k)) s.dimmed.delete(k);
              else s.dimmed.add(k);
              again();
            },
          },
          make("span", { class: "dot", style: `background:rgb(${group.color})` }),
          group.name,
          make("span", { class: "quiet mono" }, ` ${counts[k]}`),
        ),
      ),
    );
  });
  return list;
}

function picture(s, i, side) {
  const { tile_width: width, tile_height: height, columns } = s.head;
  const canvas = make("canvas", { width, height, role: "img", "aria-label": words(s, i) });
  const factor = side / Math.max(width, height);
  canvas.style.width = `${Math.round(width * factor)}px`;
  canvas.style.height = `${Math.round(height * factor)}px`;
  if (s.sprite) {
    canvas
      .getContext("2d")
      .drawImage(
        s.sprite,
        (i % columns) * width,
        Math.floor(i / columns) * height,
        width,
        height,
        0,
        0,
        width,
        height,
      );
  }
  return canvas;
}

const className = (s, k) => s.head.classes[k] ?? "another class";
const words = (s, i) => `image ${s.rows[i]}: ${className(s, s.labels[i])}`;

function thumbnail(s, i, side, refresh) {
  return make(
    "button",
    {
      class: "thumb",
      title: `${words(s, i)} – choose it`,
      onclick: () => {
        s.picked = i;
        s.choose(i);
        s.refresh();
      },
      onpointerenter: () => {
        s.hover = i;
        refresh();
      },
      onpointerleave: () => {
        s.hover = -1;
        refresh();
      },
    },
    picture(s, i, side),
    make("span", {}, className(s, s.labels[i])),
  );
}

function showCard(s, card) {
  const i = s.hover >= 0 ? s.hover : s.picked;
  if (card.shown === `${i} ${s.sprite !== null}`) return;
  card.shown = `${i} ${s.sprite !== null}`;
  if (i < 0) {
    card.replaceChildren(
      make(
        "p",
        { class: "quiet" },
        "Point at a dot to see its image; click it and it becomes the chosen image of every page. Draw a lasso to " +
          "see many.",
      ),
    );
    return;
  }
  const lines = s.maps.map((map) => {
    const says = s.head.predictions
      ? `${className(s, map.predicted[i])} (${Math.round(map.confidence[i] / 2.55)}%)`
      : "";
    const wrong = s.head.predictions && map.predicted[i] !== s.labels[i];
    return make(
      "div",
      {},
      s.maps.length > 1 ? make("span", { class: "quiet" }, `${map.title}: `) : "",
      s.head.predictions ? make("span", { class: wrong ? "problem" : "right" }, `${wrong ? "✗" : "✓"} ${says}`) : "",
      make(
        "div",
        { class: "quiet" },
        `keeps ${Math.round((map.preserved[i] / 255) * s.head.near)} of ${s.head.near} neighbors`,
      ),
    );
  });
  card.replaceChildren(
    picture(s, i, s.maps.length > 1 ? 84 : 132),
    make(
      "div",
      {},
      make("strong", {}, className(s, s.labels[i])),
      make("span", { class: "quiet" }, ` image ${s.rows[i]}`),
    ),
    ...lines,
  );
}

/** Below the maps: the neighbors of the picked image, of the placed one, and the images in the lasso. */
function showStrip(s, strip, refresh) {
  const parts = [];
  const row = (title, list, side = 52) =>
    make(
      "section",
      {},
      make("h4", {}, title),
      make("div", { class: "thumbs" }, ...Array.from(list, (i) => thumbnail(s, i, side, refresh))),
    );
  if (s.lasso) {
    const list = [...s.lasso].slice(0, STRIP);
    const counts = new Map();
    for (const i of s.lasso) counts.set(s.labels[i], (counts.get(s.labels[i]) ?? 0) + 1);
    const most = [...counts]
      .sort((a, b) => b[1] - a[1])
      .slice(0, 4)
      .map(([k, count]) => `${className(s, k)} ${count}`);
    parts.push(
      row(
        `${s.lasso.size} images in the lasso: ` +
          `${most.join(", ")}${counts.size > 4 ? ", …" : ""}` +
          (s.lasso.size > STRIP ? ` (the first ${STRIP} are shown)` : ""),
        list,
      ),
    );
  }
  for (const map of s.maps) {
    const of = s.maps.length > 1 ? `${map.title}: ` : "";
    if (map.placed) parts.push(row(`${of}nearest in the features to the ★ ${map.placed.title}`, map.placed.nearest));
    if (s.picked >= 0) {
      const truth = near(s, map.true_near, s.picked),
        seen = near(s, map.shown_near, s.picked);
      const both = new Set(truth);
      const pair = make(
        "div",
        { class: "pair" },
        row(`${of}nearest in the features`, truth),
        row(`${of}nearest in the picture`, seen),
      );
      for (const [k, thumb] of [...pair.querySelectorAll("section:last-child .thumb")].entries()) {
        thumb.classList.add(both.has(seen[k]) ? "kept" : "lost");
      }
      parts.push(pair);
    }
  }
  if (s.picked >= 0)
    parts.push(
      make(
        "p",
        { class: "quiet" },
        "Dashed: near in the picture only. Lines in the map lead to the nearest in the features.",
      ),
    );
  strip.replaceChildren(...parts);
}
