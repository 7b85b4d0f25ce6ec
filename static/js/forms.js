// A form is sent once: its button shows that it is under way, and a second press does nothing. The summary of errors leads
// to its fields. A file that is too large is refused before it is sent.
import { each } from "./each.js";

const giveUp = 15000; // ms; after that the form may be sent again, for answers that leave the page where it is (a download)

function end(form) {
  delete form.dataset.pending;
  for (const button of document.querySelectorAll('button[aria-busy="true"]')) {
    if (button.form === form) button.removeAttribute("aria-busy");
  }
}

document.addEventListener(
  "submit",
  (event) => {
    const form = event.target;
    if (form.method === "dialog") return;
    if (form.dataset.pending) {
      event.preventDefault();
      event.stopImmediatePropagation();
      return;
    }
    form.dataset.pending = "true";
    event.submitter?.setAttribute("aria-busy", "true");
    setTimeout(() => end(form), giveUp);
  },
  true,
);
document.addEventListener("htmx:afterRequest", ({ detail }) => {
  const form = detail.elt.closest?.("form");
  if (form) end(form);
});
// A page that comes back by the Back button comes back as it was left.
window.addEventListener("pageshow", () => document.querySelectorAll("form[data-pending]").forEach(end));

document.addEventListener("click", (event) => {
  const link = event.target.closest('.error-summary a[href^="#"]');
  const field = link && document.getElementById(link.hash.slice(1));
  if (!field) return;
  event.preventDefault();
  if (!field.checkVisibility()) field.closest("[popover]")?.showPopover();
  (field.closest(".field") ?? field).scrollIntoView({ block: "nearest" });
  field.focus({ preventScroll: true });
});

document.addEventListener("change", ({ target }) => {
  if (!target.dataset?.maxBytes) return;
  const tooLarge = Array.from(target.files).some((file) => file.size > Number(target.dataset.maxBytes));
  target.setCustomValidity(tooLarge ? target.dataset.tooLarge : "");
  target.reportValidity();
});

// The box data-check-all="NAME" checks all boxes of that name in its form, and shows whether all are checked.
each("[data-check-all]", (box) => {
  box.hidden = false;
  const all = () => [...box.form.querySelectorAll(`input[name="${box.dataset.checkAll}"]`)];
  box.addEventListener("change", () => {
    for (const one of all()) one.checked = box.checked;
  });
  box.form.addEventListener("change", ({ target }) => {
    if (target !== box) box.checked = all().every((one) => one.checked);
  });
});
