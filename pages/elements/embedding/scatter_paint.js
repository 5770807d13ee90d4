// The points of a map, laid out and painted, and what is marked among them.

/** Where every point lies on the canvas, in its pixels; in three dimensions seen from the chosen side. */
function layOut(map, width, height) {
  const { view, points, middle, half, x, y, depth } = map;
  const scale = (0.46 * Math.min(width, height) * view.zoom) / half;
  const centerX = width / 2 + view.x * width,
    centerY = height / 2 + view.y * height;
  const n = x.length;
  if (map.dimensions === 2) {
    for (let i = 0; i < n; i += 1) {
      x[i] = centerX + (points[2 * i] - middle[0]) * scale;
      y[i] = centerY - (points[2 * i + 1] - middle[1]) * scale;
    }
    map.at = (p) => [centerX + (p[0] - middle[0]) * scale, centerY - (p[1] - middle[1]) * scale];
    return;
  }
  const ct = Math.cos(view.turn),
    st = Math.sin(view.turn),
    cl = Math.cos(view.tilt),
    sl = Math.sin(view.tilt);
  const seen = (a, b, c) => {
    const u = a * ct + c * st,
      w = -a * st + c * ct;
    const v = b * cl - w * sl,
      z = b * sl + w * cl;
    const near = 1 / (1 + (0.28 * z) / half);
    return [centerX + u * scale * 0.8 * near, centerY - v * scale * 0.8 * near, z / half];
  };
  for (let i = 0; i < n; i += 1) {
    const [a, b, c] = seen(points[3 * i] - middle[0], points[3 * i + 1] - middle[1], points[3 * i + 2] - middle[2]);
    x[i] = a;
    y[i] = b;
    depth[i] = c;
  }
  map.at = (p) => seen(p[0] - middle[0], p[1] - middle[1], p[2] - middle[2]);
}

/** All points straight into the pixels: thousands of paths would take ten times as long. While nothing moves,
 * as under a lasso or a pointer that looks around, the pixels of the last time serve again. */
function paint(s, map, canvas, groups, mask) {
  const ratio = Math.min(2, window.devicePixelRatio || 1);
  const width = Math.round(canvas.clientWidth * ratio),
    height = Math.round(canvas.clientHeight * ratio);
  if (!width || !height) return;
  if (canvas.width !== width || canvas.height !== height) {
    canvas.width = width;
    canvas.height = height;
  }
  const context = canvas.getContext("2d");
  const back = rgb(getComputedStyle(canvas).getPropertyValue("--st-background-color").trim() || "#fff");
  const size =
    Math.max(1.3, Math.min(5, 34 / Math.sqrt(s.n) + 1.4) * Math.min(1.8, Math.sqrt(map.view.zoom))) * ratio;
  const key = [width, height, ...back, s.built, ...Object.values(map.view)].join();
  if (map.painted !== key) {
    map.painted = key;
    if (map.image?.width !== width || map.image.height !== height) map.image = context.createImageData(width, height);
    layOut(map, width, height);
    points(s, map, groups, mask, back, size);
  }
  context.putImageData(map.image, 0, 0);
  marks(s, map, context, ratio, size);
}

function points(s, map, groups, mask, back, size) {
  const { width, height } = map.image,
    pixels = new Uint32Array(map.image.data.buffer);
  pixels.fill(packed(back));
  const order = map.dimensions === 3 ? farFirst(map) : null;
  const colors = s.colored.list.map((group) => packed(group.color));
  const stamps = stampsOf(size),
    reach = Math.ceil(size + 0.5);
  for (let pass = mask ? 0 : 1; pass < 2; pass += 1) {
    for (let o = 0; o < s.n; o += 1) {
      const i = order ? order[o] : o;
      if (mask && mask[i] !== pass) continue;
      const opacity =
        pass === 0 ? 0.13 : order ? Math.min(1, 0.9 - 0.3 * Math.max(-1, Math.min(1, map.depth[i]))) : 0.85;
      dot(pixels, width, height, map.x[i], map.y[i], stamps, reach, colors[groups[i]], opacity);
    }
  }
}

const packed = ([red, green, blue]) => ((255 << 24) | (blue << 16) | (green << 8) | red) >>> 0;

/** How much of each pixel a dot covers, 0…256, for its middle in each of 4 × 4 places within a pixel. */
function stampsOf(radius) {
  if (stampsOf.radius === radius) return stampsOf.made;
  const reach = Math.ceil(radius + 0.5),
    side = 2 * reach + 1;
  stampsOf.radius = radius;
  return (stampsOf.made = Array.from({ length: 16 }, (_, place) => {
    const x = reach + ((place % 4) + 0.5) / 4 - 0.5,
      y = reach + (Math.floor(place / 4) + 0.5) / 4 - 0.5;
    return Uint16Array.from(
      { length: side * side },
      (_, k) => 256 * Math.min(1, Math.max(0, radius + 0.5 - Math.hypot((k % side) - x, Math.floor(k / side) - y))),
    );
  }));
}

/** Red and blue of a pixel are mixed in one multiplication, green in another. */
function dot(pixels, width, height, x, y, stamps, reach, color, opacity) {
  const column = Math.floor(x + 0.5),
    row = Math.floor(y + 0.5);
  const left = column - reach,
    top = row - reach,
    side = 2 * reach + 1;
  if (!(left < width && top < height && left + side > 0 && top + side > 0)) return;
  const stamp = stamps[Math.floor((y + 0.5 - row) * 4) * 4 + Math.floor((x + 0.5 - column) * 4)];
  const redBlue = color & 0xff00ff,
    green = color & 0xff00;
  for (let r = Math.max(0, -top), last = Math.min(side, height - top); r < last; r += 1) {
    for (let c = Math.max(0, -left), end = Math.min(side, width - left); c < end; c += 1) {
      const cover = (stamp[r * side + c] * opacity) | 0;
      if (cover === 0) continue;
      const at = (top + r) * width + left + c,
        was = pixels[at];
      const both = ((was & 0xff00ff) * (256 - cover) + redBlue * cover) >>> 8;
      const one = ((was & 0xff00) * (256 - cover) + green * cover) >>> 8;
      pixels[at] = 0xff000000 | (both & 0xff00ff) | (one & 0xff00);
    }
  }
}

/** The order from far to near, by counting how many points lie in each of 1024 layers. */
function farFirst(map) {
  const n = map.depth.length,
    layer = new Uint16Array(n),
    begins = new Uint32Array(1025);
  for (let i = 0; i < n; i += 1) {
    layer[i] = 1023 - Math.max(0, Math.min(1023, Math.floor((map.depth[i] + 2) * 256)));
    begins[layer[i] + 1] += 1;
  }
  for (let k = 0; k < 1024; k += 1) begins[k + 1] += begins[k];
  map.order ??= new Uint32Array(n);
  for (let i = 0; i < n; i += 1) map.order[begins[layer[i]]++] = i;
  return map.order;
}

function marks(s, map, context, ratio, size) {
  const style = getComputedStyle(context.canvas);
  const ink = style.getPropertyValue("--st-text-color").trim() || "#222",
    accent = style.getPropertyValue("--st-primary-color").trim() || "#e33";
  const ring = (x, y, radius, color, wide) => {
    context.beginPath();
    context.arc(x, y, radius, 0, 7);
    context.lineWidth = wide * ratio;
    context.strokeStyle = color;
    context.stroke();
  };
  const joined = (from, to) => {
    context.lineWidth = 1.2 * ratio;
    context.strokeStyle = accent;
    context.globalAlpha = 0.7;
    context.beginPath();
    for (const j of to) {
      context.moveTo(from[0], from[1]);
      context.lineTo(map.x[j], map.y[j]);
    }
    context.stroke();
    context.globalAlpha = 1;
    for (const j of to) ring(map.x[j], map.y[j], size + 1.5 * ratio, ink, 1.2);
  };
  const focus = s.hover >= 0 ? s.hover : s.picked;
  if (focus >= 0) {
    joined([map.x[focus], map.y[focus]], near(s, map.true_near, focus));
    ring(map.x[focus], map.y[focus], size + 4 * ratio, accent, 2.5);
  }
  if (map.placed) {
    const at = map.at(map.placed.point);
    if (focus < 0 || s.hover < 0) joined(at, map.placed.nearest);
    context.fillStyle = accent;
    context.strokeStyle = ink;
    context.lineWidth = 1.5 * ratio;
    context.beginPath();
    for (let k = 0; k < 10; k += 1) {
      const radius = (k % 2 ? 4.5 : 11) * ratio,
        angle = (Math.PI * k) / 5 - Math.PI / 2;
      context.lineTo(at[0] + radius * Math.cos(angle), at[1] + radius * Math.sin(angle));
    }
    context.closePath();
    context.fill();
    context.stroke();
  }
  if (s.drawing && s.drawing.map === map) {
    context.beginPath();
    s.drawing.path.forEach(([x, y]) => context.lineTo(x, y));
    context.closePath();
    context.fillStyle = accent;
    context.globalAlpha = 0.12;
    context.fill();
    context.globalAlpha = 1;
    context.strokeStyle = accent;
    context.lineWidth = 1.5 * ratio;
    context.stroke();
  }
}
