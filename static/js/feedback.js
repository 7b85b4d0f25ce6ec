// What happened, said where it can be seen and heard: notices, toasts, the loading bar, and errors that no server answered.
import { each } from "./each.js";

const toastFor = 8000; // ms; a toast under the pointer or with the focus stays
const quietFor = 200; // ms before the loading bar shows

// Tells screen readers, and nobody else.
export function say(text) {
  const announcer = document.getElementById("announcer");
  announcer.textContent = "";
  setTimeout(() => {
    announcer.textContent = text;
  }, 50); // a live region speaks when it changes, also to the same words
}

const flash = document.getElementById("flash");

// Puts one of the frame's notices above the page.
function show(template) {
  flash.replaceChildren(document.getElementById(template).content.cloneNode(true));
  reveal(flash);
}

function reveal(root) {
  root.querySelectorAll("[data-dismiss]").forEach((button) => {
    button.hidden = false;
  });
}

// A live region is silent about what it holds when the page opens.
if (flash?.textContent.trim()) say(flash.textContent.trim());

each("[data-dismiss]", (button) => {
  button.hidden = false;
});
document.addEventListener("click", (event) => {
  event.target.closest("[data-dismiss]")?.closest(".note, .toast")?.remove();
});

const toasts = document.getElementById("toasts");
if (toasts) {
  new MutationObserver((changes) => {
    for (const change of changes) {
      for (const toast of change.addedNodes) {
        if (!(toast instanceof HTMLElement)) continue;
        reveal(toast);
        const leave = () => (toast.matches(":hover, :focus-within") ? setTimeout(leave, toastFor) : toast.remove());
        setTimeout(leave, toastFor);
      }
    }
  }).observe(toasts, { childList: true });
}

document.addEventListener("htmx:sendError", () => show("frame-unreachable"));
document.addEventListener("htmx:timeout", () => show("frame-unreachable"));
document.addEventListener("htmx:beforeSwap", ({ detail }) => {
  // The portal's own errors say where they belong. Anything else is a page of some server in between.
  if (detail.isError && !detail.xhr.getResponseHeader("HX-Retarget")) {
    detail.serverResponse = document.getElementById("frame-failed").innerHTML;
  }
});

const bar = document.querySelector(".loading-bar");
let waiting = 0;
// Polling is quiet, and so is what live.js makes the page fetch.
const byHand = (detail) => bar && detail.requestConfig?.triggeringEvent && !/^live\b/.test(detail.requestConfig.triggeringEvent.type);
document.addEventListener("htmx:beforeRequest", ({ detail }) => {
  if (!byHand(detail)) return;
  waiting += 1;
  setTimeout(() => {
    bar.hidden = waiting === 0;
  }, quietFor);
});
document.addEventListener("htmx:afterRequest", ({ detail }) => {
  if (!byHand(detail)) return;
  waiting -= 1;
  bar.hidden = waiting === 0;
});
