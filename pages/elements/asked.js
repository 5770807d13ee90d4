// What is asked of the map on the page: brought by a component of its own, since a component is sent whole.

const ASKED = "convoscope-asked";

/** The latest question, or undefined. */
const asked = () => globalThis[ASKED];

/** Call `again` with every new question, as long as the element is on the page. */
function askedFor(element, again) {
  if (element.asks) return;
  element.asks = () => {
    if (element.isConnected) again();
    else {
      removeEventListener(ASKED, element.asks);
      element.asks = null;
    }
  };
  addEventListener(ASKED, element.asks);
}

/** Bring a question: four bytes of length, the description, then what belongs to it. */
function ask(data) {
  const bytes = data.slice(), length = new DataView(bytes.buffer).getUint32(0, true);
  globalThis[ASKED] = { head: JSON.parse(new TextDecoder().decode(bytes.subarray(4, 4 + length))), own: bytes.slice(4 + length) };
  dispatchEvent(new Event(ASKED));
}
