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
  const { head, body } = unpacked(data);
  globalThis[ASKED] = { head, own: body.slice() };
  dispatchEvent(new Event(ASKED));
}
