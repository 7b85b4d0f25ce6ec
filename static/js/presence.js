// Tells the store's people on one ticket of each other. An element with data-presence="ADDRESS" says there that its reader looks at
// the page, or with data-doing="replying" (or "noting") that they write in its composer, and shows who else does.
import { each } from "./each.js";

const again = 15000; // ms; the server forgets who says nothing for 45 s
const writingFor = 20000; // ms after a key

each("[data-presence]", (line) => {
  const token = () => JSON.parse(document.body.getAttribute("hx-headers"))["X-CSRF-Token"];
  let typedAt = -Infinity;
  let said;

  async function tell(doing, leaving = false) {
    said = doing;
    try {
      const answer = await fetch(line.dataset.presence, {
        method: "POST",
        body: new URLSearchParams({ doing }),
        headers: { "X-CSRF-Token": token(), "HX-Request": "true", "X-Background": "true" },
        keepalive: leaving,
      });
      if (answer.ok && !leaving) show(await answer.text());
    } catch {
      // said again soon
    }
  }
  function show(html) {
    const fresh = new DOMParser().parseFromString(html, "text/html").body;
    if (fresh.textContent.trim() !== line.textContent.trim()) line.replaceChildren(...fresh.childNodes);
  }
  const doing = () => (performance.now() - typedAt < writingFor ? line.dataset.doing : "viewing");

  document.addEventListener("input", (event) => {
    if (!event.target.closest("form.composer")) return;
    typedAt = performance.now();
    if (said !== line.dataset.doing) tell(line.dataset.doing);
  });
  setInterval(() => {
    if (!document.hidden) tell(doing());
  }, again);
  document.addEventListener("visibilitychange", () => (document.hidden ? tell("gone", true) : tell(doing())));
  window.addEventListener("pagehide", () => tell("gone", true));
  if (!document.hidden) tell(doing());
});
