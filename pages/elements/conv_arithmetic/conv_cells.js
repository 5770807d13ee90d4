// Convolution arithmetic in the browser: the same rules as core/by_hand/conv_arithmetic.py, which the tests compare with it.
// An exercise is what core/by_hand/conv_exercise.py sends: a layer's settings with x, weight and bias.

class BadLayer extends Error {
  constructor(field, message) {
    super(message);
    this.field = field;
  }
}

const isPooling = (e) => e.kind === "max_pool" || e.kind === "avg_pool";
const SIDES = ["rows", "columns"];

function kernelSize(e) {
  return isPooling(e) ? e.kernel_size : [e.weight[0][0].length, e.weight[0][0][0].length];
}

function channelsOut(e) {
  if (isPooling(e)) return e.x.length;
  return e.kind === "conv_transpose" ? e.weight[0].length * e.groups : e.weight.length;
}

function extentOf(e) {
  return kernelSize(e).map((k, axis) => e.dilation[axis] * (k - 1) + 1);
}

/** [[top, bottom], [left, right]]; "same" puts the odd one at the end, as PyTorch does. */
function paddingsOf(e) {
  if (e.padding === "valid") return [[0, 0], [0, 0]];
  if (e.padding === "same") return extentOf(e).map((n) => [Math.floor((n - 1) / 2), n - 1 - Math.floor((n - 1) / 2)]);
  return e.padding.map((p) => [p, p]);
}

/** Throw BadLayer where settings do not go together. */
function checkLayer(e) {
  const pooling = isPooling(e);
  const out = channelsOut(e);
  for (const [name, number] of [["in_channels", e.x.length], ["out_channels", out]]) {
    if (number % e.groups) {
      throw new BadLayer("groups", `groups is ${e.groups}, but ${name} = ${number} is not a multiple of it: choose a divisor of both ${e.x.length} and ${out}.`);
    }
  }
  if (typeof e.padding === "string") {
    if (e.kind !== "conv") throw new BadLayer("padding", `padding is "${e.padding}": here only a whole number.`);
    if (e.padding === "same" && (e.stride[0] !== 1 || e.stride[1] !== 1)) {
      throw new BadLayer("padding", '"same" goes with stride 1 only: write a number, or set the stride to 1.');
    }
  } else if (pooling) {
    kernelSize(e).forEach((k, axis) => {
      if (e.padding[axis] > Math.floor(k / 2)) {
        throw new BadLayer("padding", `padding is ${e.padding[axis]}: in pooling at most half of the kernel (${k}), which is ${Math.floor(k / 2)}.`);
      }
    });
  }
  if (e.kind === "conv_transpose") {
    e.output_padding.forEach((p, axis) => {
      if (p >= Math.max(e.stride[axis], e.dilation[axis])) {
        throw new BadLayer("output_padding", `output padding is ${p}: it must be smaller than the stride (${e.stride[axis]}) or the dilation (${e.dilation[axis]}).`);
      }
    });
  }
}

/** [rows, columns] of the output. */
function outputSize(e) {
  const size = [e.x[0].length, e.x[0][0].length];
  const found = size.map((length, axis) => outputLength(e, length, axis));
  if (Math.max(...found) > 40) {
    throw new BadLayer("stride", `The output would have ${found[0]} × ${found[1]} cells: by hand up to 40 × 40.`);
  }
  return found;
}

function outputLength(e, length, axis) {
  const extent = extentOf(e)[axis], stride = e.stride[axis];
  const [before, after] = paddingsOf(e)[axis];
  if (e.kind === "conv_transpose") {
    const out = (length - 1) * stride - before - after + extent + e.output_padding[axis];
    if (out < 1) throw new BadLayer("padding", `padding ${before} cuts away all ${out + before + after} ${SIDES[axis]} of the output: choose a smaller one.`);
    return out;
  }
  const most = Math.max(before, after);
  if (e.kind === "conv" && e.padding_mode === "reflect" && most >= length) {
    throw new BadLayer("padding", `padding is ${most} with reflect: it must be smaller than the input's ${length} ${SIDES[axis]}.`);
  }
  if (e.kind === "conv" && e.padding_mode === "circular" && most > length) {
    throw new BadLayer("padding", `padding is ${most} with circular: at most the input's ${length} ${SIDES[axis]}.`);
  }
  const ceil = isPooling(e) && e.ceil_mode;
  const room = length + before + after - extent;
  const out = Math.floor((room + (ceil ? stride - 1 : 0)) / stride) + 1;
  if (out < 1) {
    throw new BadLayer("kernel_size", `The kernel needs ${extent} ${SIDES[axis]}, but the padded input has ${length + before + after}: choose a smaller kernel or dilation, or more padding.`);
  }
  return ceil && (out - 1) * stride >= length + before ? out - 1 : out;
}

/** The input row (axis 0) or column (axis 1) that a tap reads for an output row or column, or null. */
function sourceOf(e, out, tap, length, axis) {
  const before = paddingsOf(e)[axis][0];
  if (e.kind === "conv_transpose") {
    const at = (out + before - tap * e.dilation[axis]) / e.stride[axis];
    return Number.isInteger(at) && at >= 0 && at < length ? at : null;
  }
  return insideOf(e, out * e.stride[axis] + tap * e.dilation[axis] - before, length);
}

/** Where the value at `at`, perhaps in the padding, is taken from; null where there is none. */
function insideOf(e, at, length) {
  if (at >= 0 && at < length) return at;
  const mode = e.kind === "conv" ? e.padding_mode : "zeros";
  if (mode === "replicate") return Math.min(Math.max(at, 0), length - 1);
  if (mode === "circular") return (at + length) % length;
  if (mode === "reflect") return at < 0 ? -at : 2 * (length - 1) - at;
  return null;
}

/** The input channels that an output channel is made of. */
function channelsFor(e, o) {
  if (isPooling(e)) return [o];
  const ins = e.x.length / e.groups, first = Math.floor(o / (channelsOut(e) / e.groups)) * ins;
  return Array.from({ length: ins }, (_, c) => first + c);
}

function weightAt(e, o, c, ky, kx) {
  if (isPooling(e)) return 1;
  const ins = e.x.length / e.groups, outs = channelsOut(e) / e.groups;
  return e.kind === "conv_transpose" ? e.weight[c][o % outs][ky][kx] : e.weight[o][c % ins][ky][kx];
}

/** Call visit(channel, ky, kx, row, column, value, weight) for every product of an output cell. */
function eachTerm(e, o, i, j, visit) {
  const [kh, kw] = kernelSize(e);
  const height = e.x[0].length, width = e.x[0][0].length;
  const skip = isPooling(e) || e.kind === "conv_transpose";
  for (const c of channelsFor(e, o)) {
    for (let ky = 0; ky < kh; ky++) {
      const row = sourceOf(e, i, ky, height, 0);
      for (let kx = 0; kx < kw; kx++) {
        const column = sourceOf(e, j, kx, width, 1);
        const inside = row !== null && column !== null;
        if (!inside && skip) continue;
        visit(c, ky, kx, inside ? row : null, inside ? column : null, inside ? e.x[c][row][column] : 0, weightAt(e, o, c, ky, kx));
      }
    }
  }
}

/** What average pooling divides by. */
function divisorOf(e, i, j) {
  const kernel = kernelSize(e), size = [e.x[0].length, e.x[0][0].length];
  return [i, j].reduce((count, out, axis) => {
    const [before, after] = paddingsOf(e)[axis];
    let start = out * e.stride[axis] - before;
    let stop = Math.min(start + kernel[axis], size[axis] + after);
    if (!e.count_include_pad) [start, stop] = [Math.max(start, 0), Math.min(stop, size[axis])];
    return count * (stop - start);
  }, 1);
}

function cellOf(e, o, i, j) {
  let value = e.kind === "max_pool" ? -Infinity : 0;
  eachTerm(e, o, i, j, (c, ky, kx, row, column, x, w) => {
    value = e.kind === "max_pool" ? Math.max(value, x) : value + x * w;
  });
  if (e.kind === "avg_pool") return value / divisorOf(e, i, j);
  return value + (e.bias && !isPooling(e) ? e.bias[o] : 0);
}

/** The whole output, [filter][row][column]. Throws BadLayer. */
function outputOf(e) {
  checkLayer(e);
  const [height, width] = outputSize(e);
  return Array.from({ length: channelsOut(e) }, (_, o) =>
    Array.from({ length: height }, (_, i) => Array.from({ length: width }, (_, j) => cellOf(e, o, i, j))));
}

/** Output cells that an input cell goes into: [i, j, ky, kx]. */
function fedBy(e, row, column) {
  const [height, width] = outputSize(e), [kh, kw] = kernelSize(e), found = [];
  for (let i = 0; i < height; i++) for (let j = 0; j < width; j++) {
    for (let ky = 0; ky < kh; ky++) {
      if (sourceOf(e, i, ky, e.x[0].length, 0) !== row) continue;
      for (let kx = 0; kx < kw; kx++) if (sourceOf(e, j, kx, e.x[0][0].length, 1) === column) found.push([i, j, ky, kx]);
    }
  }
  return found;
}

/** Rows (axis 0) or columns of the padded input that no window reads. */
function unreadOf(e, axis) {
  if (e.kind === "conv_transpose") return [];
  const out = outputSize(e)[axis], read = new Set();
  for (let o = 0; o < out; o++) for (let k = 0; k < kernelSize(e)[axis]; k++) read.add(o * e.stride[axis] + k * e.dilation[axis]);
  const [before, after] = paddingsOf(e)[axis];
  const length = (axis ? e.x[0][0] : e.x[0]).length + before + after;
  return Array.from({ length }, (_, r) => r).filter((r) => !read.has(r));
}
