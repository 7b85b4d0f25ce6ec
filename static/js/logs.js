// The provision logs: new runs arrive and statuses change in place, older runs come on scrolling, one run opens beside the list,
// a drag over the histogram picks a range, and keys move. Every link and form of the page works without this. It is the same on the page
// of all logs and on a page with a section of them.
import { each } from "./each.js";
import { say } from "./feedback.js";

const fetchEvery = 1000; // ms, at least, between two fetches of changes
const chartEvery = 10000; // ms, at least, between two histograms
const mostRows = 500; // in the page

const find = (id) => document.getElementById(id);
const log = () => document.querySelector("[data-log]");
const body = () => log()?.querySelector("table.logs > tbody");
const rows = () => [...(body()?.rows ?? [])];
const panel = find("provisionlogs-panel");
const words = find("logs-words")?.dataset ?? {};
const opened = () => panel?.querySelector("h2[data-run]")?.dataset;
const openRun = () => opened()?.run;
const anchor = find("logs") ? "#logs" : ""; // a section stands far down on its page

document.querySelectorAll("[data-live-switch], .logs-keys").forEach((element) => {
  element.hidden = false;
});

// ---- What arrives

let paused = false;
let fetched = 0;
let timer;
let fetching = false;
let again = false;
let charted = Date.now();
let waiting = new Map(); // id to row: matching runs that are not shown yet
let pointed = false; // the pointer is over the rows
let observer; // of the way to older runs
let loading = false;

const selecting = () => {
  const selection = getSelection();
  return !selection.isCollapsed && log()?.contains(selection.anchorNode);
};
// Nothing moves under the eyes, the pointer or a selection: then new rows wait behind the pill.
const held = () => paused || pointed || selecting() || (body() && body().closest("table").getBoundingClientRect().top < 0);

function schedule() {
  if (!log()?.dataset.since || timer) return;
  if (fetching) {
    again = true;
    return;
  }
  timer = setTimeout(fetchChanges, Math.max(0, fetched + fetchEvery - Date.now()));
}

// The filter as the list shows it: the address without the page's key, and without the run that is open.
function listAddress() {
  const query = new URLSearchParams(location.search);
  query.delete("before");
  query.delete("run");
  const form = find("provisionlogs-filter");
  for (const { name, value } of form.querySelectorAll("[data-scope]")) query.set(name, value);
  const path = form.getAttribute("action");
  return { path, query };
}

async function get(address, target) {
  const answer = await fetch(address, { headers: { "HX-Request": "true", "HX-Target": target, "X-Background": "true" } });
  if (!answer.ok) return null;
  return new DOMParser().parseFromString(await answer.text(), "text/html");
}

async function fetchChanges() {
  timer = undefined;
  fetching = true;
  fetched = Date.now();
  const here = log();
  const since = here.dataset.since;
  const { path, query } = listAddress();
  query.set("since", since);
  try {
    const page = await get(`${path}?${query}`, "");
    const changes = page?.querySelector("[data-changes]");
    // The filter may have changed while this was under way: then it belongs to a list that is gone.
    if (changes && here.isConnected && here.dataset.since === since) take(changes);
  } catch {
    // nobody answered: the next event asks again
  }
  fetching = false;
  if (again) {
    again = false;
    schedule();
  }
}

function take(changes) {
  if ("reset" in changes.dataset) {
    if (held()) return; // asked again when it is not
    return htmx.ajax("GET", location.pathname + location.search, { target: "#provisionlogs-list", swap: "innerHTML" });
  }
  log().dataset.since = changes.dataset.since;
  const open = openRun();
  let touched = false;
  const shown = new Map(rows().map((row) => [row.dataset.run, row]));
  for (const row of [...changes.querySelectorAll("tr[data-run]")]) {
    const id = row.dataset.run;
    touched ||= id === open;
    const present = shown.get(id);
    if (present) update(present, row);
    else if (isOlder(id)) continue;
    else waiting.set(id, document.adoptNode(row));
  }
  for (const id of changes.dataset.gone.split(" ")) {
    waiting.delete(id);
    touched ||= id !== "" && id === open;
    const row = shown.get(id);
    if (!row) continue;
    if (held() || row.contains(document.activeElement)) row.classList.add("gone");
    else row.remove();
  }
  if (!held()) flush();
  pill();
  if (touched) refreshPanel();
  if (Date.now() - charted > chartEvery) refreshChart();
}

// Beyond the last row that is shown comes another page.
function isOlder(id) {
  const last = rows().at(-1);
  return last && id < last.dataset.run && log().querySelector("a[rel=next]") !== null;
}

// Keeps the row, what has the focus in it, and where it stands.
function update(present, row) {
  for (const [i, cell] of [...row.cells].entries()) {
    const old = present.cells[i];
    if (old.textContent === cell.textContent || old.querySelector(".logs-pick")) continue;
    const selection = getSelection();
    if (!selection.isCollapsed && selection.containsNode(old, true)) continue;
    for (const { name, value } of cell.attributes) old.setAttribute(name, value);
    if (!old.contains(document.activeElement)) old.replaceChildren(...cell.childNodes);
  }
}

function flush() {
  if (waiting.size === 0) return;
  const box = body().closest(".table-box");
  if (box.hidden) {
    box.hidden = false;
    log().querySelector(".empty")?.remove();
  }
  const fresh = [...waiting.values()].sort((a, b) => (a.dataset.run < b.dataset.run ? 1 : -1));
  waiting = new Map();
  let at = body().rows[0];
  for (const row of fresh) {
    while (at && at.dataset.run > row.dataset.run) at = at.nextElementSibling;
    row.classList.add("fresh");
    if (row.dataset.run === openRun()) row.setAttribute("aria-current", "true");
    body().insertBefore(row, at ?? null);
  }
  trim();
}

// Leaves a bounded number of rows, the newest, and lets the next page go on after them.
function trim() {
  const all = rows();
  if (all.length <= mostRows) return;
  for (const row of all.slice(mostRows)) if (!row.contains(document.activeElement)) row.remove();
  const { path, query } = listAddress();
  query.set("before", rows().at(-1).dataset.run);
  if (!log().querySelector("a[rel=next]")) log().append(find("logs-older").content.cloneNode(true));
  log().querySelector("a[rel=next]").href = `${path}?${query}`;
}

function pill() {
  const button = log()?.querySelector(".new-pill");
  if (!button) return;
  const count = waiting.size;
  const text = count === 1 ? button.dataset.single : button.dataset.many.replace("0", String(count));
  button.querySelector("span").textContent = text;
  button.hidden = count === 0;
}

let releasing;
function release() {
  clearTimeout(releasing);
  releasing = setTimeout(() => {
    if (held()) return;
    document.querySelectorAll("tr.gone").forEach((row) => row.remove());
    flush();
    pill();
  }, 150);
}

document.body.addEventListener("live:provision-logs", schedule);
document.addEventListener("selectionchange", release);
window.addEventListener("scroll", release, { passive: true });
document.addEventListener("pointerover", (event) => {
  if (event.pointerType !== "mouse") return;
  const now = body()?.contains(event.target) ?? false;
  if (pointed && !now) {
    pointed = false;
    release();
  }
  pointed = now;
});
document.documentElement.addEventListener("pointerleave", () => {
  pointed = false;
  release();
});
document.addEventListener("change", (event) => {
  if (!event.target.closest("[data-live-switch]")) return;
  paused = !event.target.checked;
  release();
});
document.addEventListener("click", (event) => {
  if (!event.target.closest(".new-pill")) return;
  flush();
  pill();
  const top = body().closest("table").getBoundingClientRect().top;
  if (top < 0) window.scrollBy({ top: top - 80 });
  body().rows[0]?.querySelector(".cell-link").focus({ preventScroll: true });
});

// live.js looks for these to know which names the page waits for.
each("[data-log]", (element) => {
  waiting = new Map();
  if (element.dataset.since) element.setAttribute("hx-trigger", "live:provision-logs from:body");
  watchEnd(element);
  mark();
});

async function refreshChart() {
  charted = Date.now();
  if (find("provisionlogs-histogram").querySelector(".pick, details[open]")) return;
  const { path, query } = listAddress();
  const page = await get(`${path}?${query}`, "provisionlogs-histogram").catch(() => null);
  const figure = page?.querySelector("figure");
  if (figure) find("provisionlogs-histogram").replaceChildren(figure);
}

// ---- Older runs

function watchEnd(element) {
  observer?.disconnect();
  observer = new IntersectionObserver((entries) => entries.some((entry) => entry.isIntersecting) && more(false), { rootMargin: "300px" });
  const next = element.querySelector("a[rel=next]");
  if (next) observer.observe(next);
}

async function more(asked) {
  const link = log()?.querySelector("a[rel=next]");
  if (!link || loading || (!asked && ("further" in link.dataset || rows().length >= mostRows))) return;
  loading = true;
  link.setAttribute("aria-busy", "true");
  const page = await get(link.href, "provisionlogs-list").catch(() => null);
  loading = false;
  link.removeAttribute("aria-busy");
  if (!page || !link.isConnected) return;
  const have = new Set(rows().map((row) => row.dataset.run));
  const older = [...page.querySelectorAll("table.logs tr[data-run]")].filter((row) => !have.has(row.dataset.run));
  const box = body().closest(".table-box");
  if (older.length > 0 && box.hidden) {
    box.hidden = false;
    log().querySelector(".empty")?.remove();
  }
  body().append(...older.map((row) => document.adoptNode(row)));
  const nav = page.querySelector("nav.pagination");
  if (nav) link.closest("nav").replaceWith(document.adoptNode(nav));
  else link.closest("nav").remove();
  if (asked && older.length > 0) older[0].querySelector(".cell-link").focus();
  mark();
  watchEnd(log());
}

document.addEventListener("click", (event) => {
  const link = event.target.closest("[data-log] a[rel=next]");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey || rows().length >= mostRows) return;
  event.preventDefault();
  more(true);
});

// ---- One run beside the list

function mark() {
  const open = openRun();
  for (const row of rows()) {
    if (row.dataset.run === open) row.setAttribute("aria-current", "true");
    else row.removeAttribute("aria-current");
  }
}

document.addEventListener("click", (event) => {
  if (event.ctrlKey || event.metaKey || event.shiftKey || event.button !== 0) return;
  const link = event.target.closest("table.logs .cell-link");
  if (link && panel) {
    event.preventDefault();
    if (selecting()) return;
    htmx.ajax("GET", link.href, { target: "#provisionlogs-panel", swap: "innerHTML" }).then(() => {
      mark();
      find("run-h")?.focus({ preventScroll: true });
    });
    return;
  }
  const close = event.target.closest("[data-close-panel]");
  if (close) {
    event.preventDefault();
    closePanel();
  }
});

function closePanel() {
  const run = openRun();
  if (!run) return;
  const { path, query } = listAddress();
  panel.replaceChildren();
  history.pushState({ htmx: true }, "", query.size > 0 ? `${path}?${query}` : path);
  mark();
  find(`run-${run}`)?.focus({ preventScroll: true });
}

// What changed of the open run comes without closing what is open in it.
async function refreshPanel() {
  const run = openRun();
  if (!run || panel.contains(getSelection().anchorNode) && !getSelection().isCollapsed) return;
  const page = await get(opened().address, "provisionlogs-panel").catch(() => null);
  if (!page || openRun() !== run || panel.querySelector("form :focus")) return;
  const open = [...panel.querySelectorAll("details[open]")].map((details) => details.id);
  const scrolled = panel.querySelector(".panel-body").scrollTop;
  const focused = panel.contains(document.activeElement);
  panel.replaceChildren(...[...page.body.childNodes].map((node) => document.adoptNode(node)));
  for (const id of open) find(id)?.setAttribute("open", "");
  panel.querySelector(".panel-body").scrollTop = scrolled;
  htmx.process(panel);
  if (focused) find("run-h").focus({ preventScroll: true });
  say(panel.querySelector(".status").textContent);
}

// ---- Only this, not this

const tools = find("logs-pick")?.content.firstElementChild;
document.addEventListener("pointerover", (event) => {
  if (!tools || event.pointerType !== "mouse") return;
  const cell = event.target.closest?.("table.logs td[data-field]");
  if (!cell || cell.contains(tools)) {
    if (!cell) tools.remove();
    return;
  }
  const { field, value } = cell.dataset;
  if (!value || find("provisionlogs-filter").querySelector(`[data-scope][name="${field}"]`)) return;
  const name = cell.textContent.trim();
  const { path, query } = listAddress();
  const only = new URLSearchParams(query);
  only.set(field, value);
  const not = new URLSearchParams(query);
  not.append("not", `${field}:${value}`);
  if (not.get(field) === value) not.delete(field);
  for (const [word, target] of [["just", only], ["not", not]]) {
    const link = tools.querySelector(`[data-${word}]`);
    link.href = `${path}?${target}${anchor}`;
    link.title = words[word];
    link.setAttribute("aria-label", `${link.title}: ${name}`);
  }
  cell.append(tools);
});

// ---- A range of the histogram

let drag;
document.addEventListener("pointerdown", (event) => {
  const svg = event.target.closest?.(".histogram svg[data-start]");
  if (!svg || event.button !== 0 || event.pointerType === "touch") return;
  const pick = document.createElementNS("http://www.w3.org/2000/svg", "rect");
  pick.classList.add("pick");
  pick.setAttribute("y", "0");
  pick.setAttribute("height", "64");
  svg.append(pick);
  svg.setPointerCapture(event.pointerId);
  drag = { svg, pick, from: barAt(svg, event), to: barAt(svg, event) };
  event.preventDefault();
});
document.addEventListener("pointermove", (event) => {
  if (!drag) return;
  drag.to = barAt(drag.svg, event);
  const slot = 720 / Number(drag.svg.dataset.bars);
  const first = Math.min(drag.from, drag.to);
  drag.pick.setAttribute("x", String(first * slot));
  drag.pick.setAttribute("width", String((Math.abs(drag.to - drag.from) + 1) * slot));
});
document.addEventListener("pointerup", () => {
  if (!drag) return;
  const { svg, pick, from, to } = drag;
  drag = undefined;
  pick.remove();
  const step = Number(svg.dataset.step) * 1000;
  const start = Date.parse(svg.dataset.start);
  const form = find("provisionlogs-filter");
  const path = form?.getAttribute("action") ?? "/admin/provisioning/logs";
  const query = form ? listAddress().query : new URLSearchParams();
  const iso = (at) => new Date(at).toISOString().replace(/\.\d+Z$/, "Z");
  const picked = { from: start + Math.min(from, to) * step, to: start + (Math.max(from, to) + 1) * step };
  for (const [name, at] of Object.entries(picked)) query.set(name, iso(at));
  location.assign(`${path}?${query}${anchor}`);
});

function barAt(svg, event) {
  const box = svg.getBoundingClientRect();
  const bars = Number(svg.dataset.bars);
  return Math.max(0, Math.min(bars - 1, Math.floor(((event.clientX - box.left) / box.width) * bars)));
}

// ---- Keys

function step(by) {
  const all = rows();
  const focused = document.activeElement.closest?.("table.logs tr");
  const from = focused ?? all.find((row) => row.getAttribute("aria-current"));
  const at = from ? all.indexOf(from) + by : 0;
  const row = all[Math.max(0, Math.min(all.length - 1, at))];
  row?.querySelector(".cell-link").focus();
  row?.scrollIntoView({ block: "nearest" });
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input, select, textarea, [contenteditable]")) return;
  if (document.querySelector("dialog[open], :popover-open")) return;
  const deeds = {
    j: () => step(1),
    k: () => step(-1),
    e: () => location.assign(log().dataset.errors),
    l: () => document.querySelector("[data-live-switch] input")?.click(),
    "?": () => find("logs-keys").showModal(),
    Escape: closePanel,
  };
  if (!deeds[event.key] || !log()) return;
  event.preventDefault();
  deeds[event.key]();
});
