// Keeps the focus where the person is when htmx replaces what had it. htmx itself follows an id, and autofocus.
let lost = null;

document.addEventListener("htmx:beforeSwap", ({ detail }) => {
  if (detail.shouldSwap && detail.target.contains(document.activeElement)) lost = detail.target.id;
});
document.addEventListener("htmx:afterSettle", () => {
  if (lost === null) return;
  const target = document.getElementById(lost) ?? document.getElementById("main");
  lost = null;
  if (document.activeElement && document.activeElement !== document.body) return;
  if (!target.hasAttribute("tabindex")) target.tabIndex = -1;
  target.focus({ preventScroll: true });
});
