export default function ({ data, parentElement }) {
  const root = parentElement.querySelector(".root");
  const { head: about, body: pixels } = unpacked(data);
  const { count, per_tile: perTile, height, width, captions, rows, notes } = about;
  // Whole multiples of the picture's own size, so that every pixel is a square of the same size.
  const factor = Math.max(1, Math.round(104 / Math.max(height, width)));
  root.replaceChildren();
  const list = document.createElement("ul");
  list.className = "sheet";
  for (let tile = 0; tile < count; tile += 1) {
    const item = document.createElement("li");
    for (let k = 0; k < perTile; k += 1) {
      const canvas = document.createElement("canvas");
      canvas.width = width;
      canvas.height = height;
      canvas.style.width = `${width * factor}px`;
      canvas.style.height = `${height * factor}px`;
      canvas.setAttribute("role", "img");
      const what = rows[k] ? `${rows[k]}: ${captions[tile]}` : captions[tile];
      canvas.setAttribute("aria-label", what);
      canvas.title = notes[tile] ? `${what} – ${notes[tile]}` : what;
      const image = new ImageData(width, height);
      const start = (tile * perTile + k) * width * height * 3;
      for (let i = 0; i < width * height; i += 1) {
        image.data[4 * i] = pixels[start + 3 * i];
        image.data[4 * i + 1] = pixels[start + 3 * i + 1];
        image.data[4 * i + 2] = pixels[start + 3 * i + 2];
        image.data[4 * i + 3] = 255;
      }
      canvas.getContext("2d").putImageData(image, 0, 0);
      item.append(canvas);
    }
    const caption = document.createElement("span");
    caption.className = "caption";
    caption.style.maxWidth = `${Math.max(72, width * factor)}px`;
    caption.textContent = captions[tile];
    item.append(caption);
    if (notes[tile]) {
      const note = document.createElement("span");
      note.className = "caption problem";
      note.style.maxWidth = caption.style.maxWidth;
      note.textContent = notes[tile];
      item.append(note);
    }
    list.append(item);
  }
  if (rows.length > 1) {
    const legend = document.createElement("p");
    legend.className = "quiet";
    legend.textContent = `In each column, from the top: ${rows.join(", ")}.`;
    root.append(legend);
  }
  root.append(list);
}
