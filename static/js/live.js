// Shows in an open page what others change. An element with data-live="ADDRESS", one per page, gives the page an event
// stream that names what changed. Each name becomes an event on the body: "live:NAME", and "live" for any of them.
//
//   <div id="mail-list" hx-get="/admin/emails?status=failed" hx-trigger="live:mail from:body" hx-swap="innerHTML">
//
// The server sends at most two events a second. Add no throttle, which would drop the last one; htmx keeps one that comes
// while it fetches. Where there is no stream (too many tabs, a proxy that keeps it back) every name is told every 5 seconds.
const pollEvery = 5000; // ms
const openWithin = 10000; // ms, from asking for the stream to its first line
const longestRetry = 15000; // ms; the server asks for 10 s at most
const longestPause = 60000; // ms between attempts while polling
const errorsInARow = 4;

const address = document.querySelector("[data-live]")?.dataset.live;
let over = !address; // the server said no, for good
let source, deadline, poller, retry;
let wasOpen = false;
let errors = 0;
let pause = pollEvery;

function tell(names) {
  document.body.dispatchEvent(new CustomEvent("live", { detail: { names } }));
  for (const name of names) document.body.dispatchEvent(new CustomEvent(`live:${name}`));
}

// Everything that elements of the page wait for may have changed.
function tellAll() {
  const names = new Set();
  for (const element of document.querySelectorAll('[hx-trigger*="live:"]')) {
    for (const [, name] of element.getAttribute("hx-trigger").matchAll(/\blive:([^\s,[]+)/g)) names.add(name);
  }
  tell([...names]);
}

function stop() {
  source?.close();
  source = undefined;
  clearTimeout(deadline);
  clearTimeout(retry);
}

function stopPolling() {
  clearInterval(poller);
  poller = undefined;
}

function open() {
  if (source || over || document.hidden) return;
  clearTimeout(retry);
  errors = 0;
  source = new EventSource(address);
  deadline = setTimeout(lost, openWithin);
  source.addEventListener("open", () => {
    clearTimeout(deadline);
    stopPolling();
    errors = 0;
    pause = pollEvery;
    if (wasOpen) tellAll(); // what was said meanwhile was missed
    wasOpen = true;
  });
  source.addEventListener("message", ({ data }) => tell(data.split("\n")));
  source.addEventListener("resync", tellAll);
  source.addEventListener("error", () => {
    errors += 1;
    if (source.readyState === EventSource.CLOSED || errors >= errorsInARow) return lost();
    clearTimeout(deadline); // the browser tries again by itself
    deadline = setTimeout(lost, openWithin + longestRetry);
  });
}

// An event source does not say why it failed. One request of our own does.
async function lost() {
  stop();
  wasOpen = true;
  const aborting = new AbortController();
  const timeout = setTimeout(() => aborting.abort(), openWithin);
  let answer;
  try {
    answer = await fetch(address, { headers: { Accept: "text/event-stream" }, signal: aborting.signal });
  } catch {
    // nobody answered
  }
  clearTimeout(timeout);
  aborting.abort();
  if ([401, 403, 404].includes(answer?.status)) {
    over = true;
    return stopPolling();
  }
  if (document.hidden || source) return;
  if (!poller) {
    tellAll();
    poller = setInterval(() => navigator.onLine && tellAll(), pollEvery);
  }
  const asked = Number(answer?.headers.get("Retry-After")) * 1000 || 0;
  retry = setTimeout(open, Math.max(asked, pause) * (1 + Math.random() / 2));
  pause = Math.min(pause * 2, longestPause);
}

// A page that nobody looks at holds no stream: a browser has six connections for all its tabs.
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) return open();
  stop();
  stopPolling();
});
window.addEventListener("pageshow", open);
open();

// What follows keeps fetches that nobody asked for from being noticed by anything but what they show.
const byLive = (event) => event?.type === "live" || event?.type.startsWith("live:");

document.addEventListener("htmx:configRequest", ({ detail }) => {
  if (byLive(detail.triggeringEvent)) detail.headers["X-Background"] = "true"; // not a use of the session
});
document.addEventListener("htmx:beforeOnLoad", (event) => {
  const { requestConfig, xhr } = event.detail;
  if (byLive(requestConfig.triggeringEvent) && xhr.status >= 400) event.preventDefault(); // the page stays as it is
});
for (const failure of ["htmx:sendError", "htmx:timeout"]) {
  const quiet = (event) => byLive(event.detail.requestConfig?.triggeringEvent) && event.stopPropagation();
  window.addEventListener(failure, quiet, true);
}

// What somebody is busy with is not replaced under their hands; it is fetched when they are done. A button that were replaced
// while it is pressed would never be clicked.
const fields = "input:not([type=hidden]), textarea, select, [contenteditable]";
function changed(field) {
  if (field.type === "checkbox" || field.type === "radio") return field.checked !== field.defaultChecked;
  if (!field.options) return field.value !== field.defaultValue;
  return field.selectedIndex !== Math.max(0, [...field.options].findIndex((option) => option.defaultSelected));
}
const busy = (part) =>
  part.querySelector(":popover-open, dialog[open], :active") !== null ||
  (part.contains(document.activeElement) && document.activeElement.matches(fields)) ||
  [...part.querySelectorAll("input, textarea, select")].some(changed);
let held = false;

document.addEventListener("htmx:beforeSwap", ({ detail }) => {
  if (!byLive(detail.requestConfig.triggeringEvent) || !detail.shouldSwap || !busy(detail.target)) return;
  detail.shouldSwap = false;
  held = true;
});
for (const end of ["focusout", "change", "close", "toggle", "pointerup", "pointercancel"]) {
  const done = () => {
    if (!held) return;
    held = false;
    setTimeout(tellAll); // when the focus has arrived where it goes
  };
  document.addEventListener(end, done, true);
}
