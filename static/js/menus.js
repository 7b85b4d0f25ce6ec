// Menus open, close and give the focus back by themselves (popover). This adds the arrow keys, and brings the open tab of a
// row that scrolls into view.
import { each } from "./each.js";

each(":is(.tabs, .subnav, .segments) [aria-current]", (tab) => {
  const nav = tab.closest("nav");
  for (const box of [nav, nav.querySelector("ul")]) {
    const [inner, outer] = [tab.getBoundingClientRect(), box.getBoundingClientRect()];
    box.scrollLeft += inner.left + inner.width / 2 - outer.left - outer.width / 2;
  }
});

// What is fetched into the page leaves its menu behind.
document.addEventListener("click", (event) => event.target.closest(".menu[popover] [hx-get]")?.closest("[popover]").hidePopover());

const items = (menu) => [...menu.querySelectorAll("a[href], button")].filter((item) => item.checkVisibility());

document.addEventListener("keydown", (event) => {
  const opener = event.target.closest("button[popovertarget]");
  const target = opener && document.getElementById(opener.getAttribute("popovertarget"));
  if (target?.matches(".menu") && event.key === "ArrowDown") {
    event.preventDefault();
    target.showPopover({ source: opener });
    items(target)[0]?.focus();
    return;
  }
  const menu = event.target.closest(".menu[popover]");
  if (!menu || event.target.matches("input, select, textarea")) return;
  const all = items(menu);
  const here = all.indexOf(document.activeElement);
  const next = { ArrowDown: here + 1, ArrowUp: here - 1, Home: 0, End: all.length - 1 }[event.key];
  if (next === undefined || all.length === 0) return;
  event.preventDefault();
  all[(next + all.length) % all.length].focus();
});
