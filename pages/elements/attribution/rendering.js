// The layer over the photo, as core/attribution/rendering.py draws it; a test compares the two pixel by pixel.

/** A Gaussian mean of the neighborhood, cut off at 3 sigma; at the border, of the pixels that there are. */
function smoothed(plane, height, width, sigma) {
  if (!(sigma > 0)) return plane;
  const reach = Math.max(1, Math.ceil(3 * sigma));
  const kernel = Float64Array.from({ length: 2 * reach + 1 }, (_, i) => Math.exp(-0.5 * ((i - reach) / sigma) ** 2));
  const rows = blurred(Float64Array.from(plane), height, width, kernel, reach, width, 1);
  return Float32Array.from(blurred(rows, width, height, kernel, reach, 1, width));
}

/** One direction: `length` places that lie `step` apart, for each of `count` lines that lie `line` apart. */
function blurred(values, length, count, kernel, reach, step, line) {
  const out = new Float64Array(values.length);
  for (let i = 0; i < length; i += 1) {
    const first = Math.max(0, i - reach), last = Math.min(length - 1, i + reach);
    let weights = 0;
    for (let k = first; k <= last; k += 1) weights += kernel[k - i + reach];
    for (let k = first; k <= last; k += 1) {
      const weight = kernel[k - i + reach] / weights;
      for (let j = 0; j < count; j += 1) out[i * step + j * line] += weight * values[k * step + j * line];
    }
  }
  return out;
}

/** As NumPy's percentile: between two values, linear. */
function percentile(values, percent) {
  const sorted = Float32Array.from(values).sort(), at = (percent / 100) * (sorted.length - 1);
  const below = Math.floor(at), above = Math.min(sorted.length - 1, below + 1);
  return sorted[below] + (at - below) * (sorted[above] - sorted[below]);
}

/** The value of the full color; 0 for a map that is blank. */
function limitOf(plane, percent) {
  const magnitudes = plane.map(Math.abs), limit = percentile(magnitudes, percent);
  const largest = magnitudes.reduce((most, value) => Math.max(most, value), 0);
  return limit > 1e-12 * largest ? limit : largest;
}

const level = (share) => Math.floor(255 * share + 0.5);

/** RGBA of every pixel, for a canvas. `look` has view, share; `tables` the colors heat and signed, flat. */
function layerOf(plane, look, limit, tables) {
  const out = new Uint8ClampedArray(4 * plane.length);
  if (look.view === "spotlight") {
    const least = limit > 0 ? percentile(plane, 100 * (1 - look.share)) : Infinity;
    for (let i = 0; i < plane.length; i += 1) out[4 * i + 3] = plane[i] < least ? 217 : 0;
    return out;
  }
  if (!(limit > 0)) return out;
  for (let i = 0; i < plane.length; i += 1) {
    const strength = Math.min(Math.abs(plane[i]) / limit, 1), heat = look.view === "heat";
    const table = heat ? tables.heat : tables.signed, at = 3 * (heat ? level(strength) : Number(plane[i] >= 0));
    for (let c = 0; c < 3; c += 1) out[4 * i + c] = table[at + c];
    out[4 * i + 3] = level(heat ? Math.min(1, 0.12 + 1.25 * strength) : strength);
  }
  return out;
}
