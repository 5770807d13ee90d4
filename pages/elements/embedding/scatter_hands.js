// A map under the hand: move, turn, zoom, lasso, pick.

function closest(s, map, x, y, reach) {
  let best = -1,
    least = reach * reach;
  for (let i = 0; i < s.n; i += 1) {
    const far = (map.x[i] - x) ** 2 + (map.y[i] - y) ** 2;
    if (far < least && (!s.lasso || s.lasso.has(i))) {
      least = far;
      best = i;
    }
  }
  return best;
}

/** Pointer, wheel and keys of one map. */
function hands(canvas, s, map, index, refresh, rebuild) {
  const at = (event) => {
    const box = canvas.getBoundingClientRect();
    return [
      ((event.clientX - box.left) * canvas.width) / box.width,
      ((event.clientY - box.top) * canvas.height) / box.height,
    ];
  };
  const pick = (i) => {
    s.picked = i;
    if (i >= 0) s.choose(i);
    s.refresh();
  };
  let drag = null;
  canvas.onpointerdown = (event) => {
    canvas.setPointerCapture(event.pointerId);
    canvas.focus({ preventScroll: true });
    const [x, y] = at(event);
    drag = { x, y, moved: false, view: { ...map.view } };
    if (s.mode === "lasso" || event.shiftKey) s.drawing = { map, path: [[x, y]] };
    event.preventDefault();
  };
  canvas.onpointermove = (event) => {
    const [x, y] = at(event);
    if (!drag) {
      const found = closest(s, map, x, y, 14 * (window.devicePixelRatio || 1));
      if (found !== s.hover) {
        s.hover = found;
        refresh();
      }
      canvas.style.cursor = found >= 0 ? "pointer" : s.mode === "lasso" ? "crosshair" : "grab";
      return;
    }
    drag.moved ||= Math.hypot(x - drag.x, y - drag.y) > 4;
    if (!drag.moved) return;
    s.hover = -1;
    if (s.drawing) {
      const last = s.drawing.path.at(-1);
      if (Math.hypot(x - last[0], y - last[1]) > 2) s.drawing.path.push([x, y]);
    } else if (map.dimensions === 3) {
      map.view.turn = drag.view.turn + ((x - drag.x) / canvas.width) * 4;
      map.view.tilt = drag.view.tilt + ((y - drag.y) / canvas.height) * 4;
    } else {
      map.view.x = drag.view.x + (x - drag.x) / canvas.width;
      map.view.y = drag.view.y + (y - drag.y) / canvas.height;
    }
    refresh();
  };
  canvas.onpointerup = (event) => {
    const [x, y] = at(event);
    const was = drag;
    drag = null;
    const path = s.drawing?.path;
    s.drawing = null;
    if (was && !was.moved) return pick(closest(s, map, x, y, 14 * (window.devicePixelRatio || 1)));
    if (path && path.length > 2) {
      const found = inside(map, path, s.n).filter((i) => !s.dimmed.size || s.dimmed.has(s.groups[index][i]));
      s.lasso = found.length ? new Set(found) : null;
      return rebuild();
    }
    return refresh();
  };
  canvas.onpointercancel = () => {
    drag = null;
    s.drawing = null;
    refresh();
  };
  canvas.onpointerleave = () => {
    if (!drag && s.hover >= 0) {
      s.hover = -1;
      refresh();
    }
  };
  const zoom = (factor, x, y) => {
    const before = map.view.zoom;
    map.view.zoom = Math.min(60, Math.max(0.5, before * factor));
    const real = map.view.zoom / before;
    if (map.dimensions === 2) {
      map.view.x = x - 0.5 - (x - 0.5 - map.view.x) * real;
      map.view.y = y - 0.5 - (y - 0.5 - map.view.y) * real;
    }
    refresh();
  };
  canvas.onwheel = (event) => {
    const box = canvas.getBoundingClientRect();
    zoom(
      Math.exp(-Math.sign(event.deltaY) * Math.min(0.4, Math.abs(event.deltaY) / 400)),
      (event.clientX - box.left) / box.width,
      (event.clientY - box.top) / box.height,
    );
    event.preventDefault();
  };
  canvas.onkeydown = (event) => {
    const steps = { ArrowLeft: [1, 0], ArrowRight: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
    if (event.key in steps) {
      const [x, y] = steps[event.key];
      if (map.dimensions === 3) {
        map.view.turn += 0.12 * x;
        map.view.tilt += 0.12 * y;
      } else {
        map.view.x += 0.05 * x;
        map.view.y += 0.05 * y;
      }
      refresh();
    } else if (event.key === "+" || event.key === "=") zoom(1.25, 0.5, 0.5);
    else if (event.key === "-") zoom(0.8, 0.5, 0.5);
    else if (event.key.toLowerCase() === "n" || event.key.toLowerCase() === "p") {
      const list = s.lasso ? [...s.lasso] : null;
      const count = list ? list.length : s.n;
      const place = list ? list.indexOf(s.picked) : s.picked;
      const next = (place + (event.key.toLowerCase() === "n" ? 1 : count - 1) + count) % count;
      s.picked = list ? list[next] : next;
      s.hover = -1;
      s.refresh();
    } else if (event.key === "Enter" && s.picked >= 0) s.choose(s.picked);
    else if (event.key === "Escape") {
      s.lasso = null;
      s.picked = -1;
      return rebuild();
    } else return undefined;
    event.preventDefault();
    return undefined;
  };
  if (!canvas.isConnected) canvas.style.touchAction = "none";
}

/** The points within a closed path; those outside its bounding box are passed over. */
function inside(map, path, n) {
  const found = [],
    xs = Float64Array.from(path, (p) => p[0]),
    ys = Float64Array.from(path, (p) => p[1]);
  const left = Math.min(...xs),
    right = Math.max(...xs),
    top = Math.min(...ys),
    bottom = Math.max(...ys);
  for (let i = 0; i < n; i += 1) {
    const x = map.x[i],
      y = map.y[i];
    if (x < left || x > right || y < top || y > bottom) continue;
    let within = false;
    for (let a = 0, b = xs.length - 1; a < xs.length; b = a, a += 1) {
      if (ys[a] > y !== ys[b] > y && x < ((xs[b] - xs[a]) * (y - ys[a])) / (ys[b] - ys[a]) + xs[a]) within = !within;
    }
    if (within) found.push(i);
  }
  return found;
}
