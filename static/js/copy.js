// Buttons with data-copy put that text on the clipboard. They stay hidden where the browser has no clipboard (plain http).
import { each } from "./each.js";
import { say } from "./feedback.js";

const shownFor = 2000; // ms that the tick stays

if (navigator.clipboard) {
  each("[data-copy]", (button) => {
    button.hidden = false;
  });
  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-copy]");
    if (!button) return;
    await navigator.clipboard.writeText(button.dataset.copy);
    say(document.getElementById("announcer").dataset.copied);
    const use = button.querySelector("use");
    if (!use || button.dataset.icon) return;
    button.dataset.icon = use.getAttribute("href");
    use.setAttribute("href", button.dataset.icon.replace(/#.*/, "#check"));
    setTimeout(() => {
      use.setAttribute("href", button.dataset.icon);
      delete button.dataset.icon;
    }, shownFor);
  });
}
