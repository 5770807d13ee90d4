// P: sidebar, header and bar go, type grows, the picture fills the height. Escape: all is back. F: full screen.
// The class stands at the document, so that it outlives reruns and leads from page to page.
const SMALLEST_PICTURE = 100; // pixels of a side: what is smaller is an icon

export default function ({ parentElement }) {
  const root = parentElement.querySelector(".root");
  const page = document.documentElement;
  if (!root.firstChild)
    root.append(
      make(
        "button",
        {
          type: "button",
          title: "Present: only the picture, in large type. Keys: P, F for full screen, Escape to end.",
          onclick: () => page.classList.add("presenting"),
        },
        "Present",
        make("kbd", {}, "P"),
      ),
    );
  const pointer = (event) => (root.under = event.composedPath()[0]);
  const key = (event) => pressed(root, page, event);
  document.addEventListener("pointermove", pointer);
  document.addEventListener("keydown", key);
  return () => {
    document.removeEventListener("pointermove", pointer);
    document.removeEventListener("keydown", key);
  };
}

function pressed(root, page, event) {
  const on = event.composedPath()[0];
  if (!root.isConnected || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "Escape") {
    if (!document.fullscreenElement) page.classList.remove("presenting");
    return;
  }
  const typing = /^(INPUT|TEXTAREA|SELECT)$/.test(on.tagName ?? "") && on.type !== "range";
  if (typing || on.isContentEditable) return;
  if (event.key.toLowerCase() === "p") page.classList.toggle("presenting");
  if (event.key.toLowerCase() === "f") enlarge(root.under);
}

/** The picture under the pointer, else the largest one, on the whole screen; once more, and it is back. */
function enlarge(under) {
  if (document.fullscreenElement) {
    document.exitFullscreen();
    return;
  }
  const drawn = [...document.querySelectorAll('[data-testid="stMain"] .stElementContainer')]
    .map((element) => ({ element, area: picturesIn(element) }))
    .filter(({ area }) => area > 0);
  if (!drawn.length) return;
  const pointed = drawn.find(({ element }) => element.contains(hostOf(under)));
  const { element } = pointed ?? drawn.reduce((best, one) => (one.area > best.area ? one : best));
  if (ownFullScreen(element)) return; // it listens to F itself
  element.style.backgroundColor = getComputedStyle(document.querySelector(".stApp")).backgroundColor;
  element.requestFullscreen?.();
}

/** The element in the page that something in a shadow root belongs to. */
function hostOf(element) {
  let found = element ?? null;
  while (found?.getRootNode() instanceof ShadowRoot) found = found.getRootNode().host;
  return found;
}

function rootsIn(element) {
  const roots = [element];
  for (const inner of element.querySelectorAll("*")) if (inner.shadowRoot) roots.push(inner.shadowRoot);
  return roots;
}

/** The area of all canvases, drawings and images, in pixels. */
function picturesIn(element) {
  return rootsIn(element)
    .flatMap((root) => [...root.querySelectorAll("canvas, svg, img")])
    .map((picture) => picture.getBoundingClientRect())
    .filter((box) => Math.min(box.width, box.height) >= SMALLEST_PICTURE)
    .reduce((sum, box) => sum + box.width * box.height, 0);
}

function ownFullScreen(element) {
  return rootsIn(element).some((root) => root.querySelector(".stage .full"));
}
