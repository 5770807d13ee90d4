// "Predict first" for a kernel over a photo and for a patch as the kernel: the result waits until the viewer has
// said something.

const WALL = 0.5;

const guessed = (s) => (s.kind === "template" ? s.guesses.place !== undefined : s.guesses["the wall"] !== undefined);
const hiddenResult = (s) => s.predict && !guessed(s);

/** What is asked, and, once it is answered, how good the answer was. */
function askFirst(s) {
  if (!s.predict) return s.asked.replaceChildren();
  if (s.kind === "kernel") {
    const comes = WALL * s.values.flat().reduce((a, b) => a + b, 0);
    const why = guessed(s)
      ? [` : ${shown(WALL)} times the sum of the kernel's numbers, ${shown(comes / WALL)}.`]
      : [];
    return s.asked.replaceChildren(
      make(
        "p",
        {},
        `Before you see the result: on a plain wall, where every pixel is ${shown(WALL)}, what comes out of this ` +
          `kernel? `,
        predicted(s, "the wall", Number(comes.toFixed(6)), () => schedule(s, false, true)),
        ...why,
      ),
    );
  }
  if (!guessed(s))
    return s.asked.replaceChildren(
      make(
        "p",
        {},
        "Before you see the map: where else does the patch fit best? Point at its middle in the right picture, or " +
          "move there with the arrow keys and press Enter.",
      ),
    );
  const best = bestElsewhere(s),
    [x, y] = s.guesses.place;
  const words =
    best === null
      ? "Nothing else in this photo is like the patch."
      : Math.max(Math.abs(best[0] - x), Math.abs(best[1] - y)) <= s.patch[2] / 2
        ? `✓ right: nothing else fits as well, ${shown(best[2])}.`
        : `Your place fits with ${shown(bestNear(s, x, y))}; the best one but its own is at (${best[0]}, ` +
          `${best[1]}), with ${shown(best[2])}.`;
  return s.asked.replaceChildren(make("p", { class: words.startsWith("✓") ? "right" : "" }, words));
}

/** The best place that does not lie on the patch itself, or null. */
function bestElsewhere(s) {
  const half = s.patch[2] / 2;
  return (
    bestPlaces(s, 6).find(([x, y]) => Math.max(Math.abs(x - s.patch[0]), Math.abs(y - s.patch[1])) >= half) ?? null
  );
}

/** The best value around a place: nobody points to the pixel. */
function bestNear(s, x, y) {
  const { out, w, h } = s.map,
    reach = Math.ceil(s.patch[2] / 4);
  let best = -Infinity;
  for (let v = Math.max(0, y - reach); v <= Math.min(h - 1, y + reach); v++)
    for (let u = Math.max(0, x - reach); u <= Math.min(w - 1, x + reach); u++) best = Math.max(best, out[v * w + u]);
  return best;
}

/** In place of the result: nothing, or the photo to point at, each place shown by the middle of its patch. */
function drawCover(s) {
  const context = s.result.getContext("2d"),
    { w, h } = s.map;
  context.fillStyle = "#808080";
  context.fillRect(0, 0, w, h);
  if (s.kind !== "template") return;
  const before = Math.floor(s.patch[2] / 2);
  context.globalAlpha = 0.6;
  context.drawImage(s.photo, before, before, w, h, 0, 0, w, h);
  context.globalAlpha = 1;
}

function guessPlace(s) {
  s.guesses.place = [...s.cursor];
  schedule(s, false, true);
}
