// Writing: drafts saved on the server while one types, formatting, preview, Ctrl-Enter; and a thread that says what came in
// while one reads elsewhere in it.
//
//   form data-draft="OBJECT"        what is typed is the draft OBJECT; .saved in it says when it was saved
//   [data-toolbar="ID"]             buttons that mark up the text of the textarea ID: data-mark (around), data-line (before
//                                   each line), data-link, data-preview (into [data-preview-of="ID"])
//   [data-timeline] data-new="…"    a thread; the text is the pill's, before the number of new posts
import { each } from "./each.js";
import { say } from "./feedback.js";

const saveAfter = 1500; // ms without a key
const token = () => JSON.parse(document.body.getAttribute("hx-headers"))["X-CSRF-Token"];

function post(url, fields, keepalive = false) {
  return fetch(url, {
    method: "POST",
    body: new URLSearchParams(fields),
    headers: { "X-CSRF-Token": token(), "HX-Request": "true" },
    keepalive,
  });
}

each("form[data-draft]", (form) => {
  const saved = form.querySelector(".saved");
  const read = () =>
    Object.fromEntries(["subject", "department", "body"].filter((name) => form.elements[name]).map((name) => [name, form.elements[name].value]));
  let timer;
  let stored = JSON.stringify(read());
  let over = false;

  async function save(leaving = false) {
    clearTimeout(timer);
    const now = JSON.stringify(read());
    if (over || now === stored) return;
    try {
      const answer = await post("/support/drafts", { object: form.dataset.draft, ...JSON.parse(now) }, leaving && now.length < 60000);
      if (!answer.ok) throw new Error(String(answer.status));
      stored = now;
      saved.textContent = `${saved.dataset.saved} ${new Date().toLocaleTimeString(document.documentElement.lang, { hour: "2-digit", minute: "2-digit" })}`;
    } catch {
      saved.textContent = saved.dataset.unsaved;
    }
  }
  form.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(save, saveAfter);
  });
  form.addEventListener("submit", () => {
    over = true; // posting deletes the draft
    clearTimeout(timer);
  });
  window.addEventListener("pagehide", () => save(true));
  window.addEventListener("pageshow", () => {
    over = false;
  });
  form.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey) || !event.target.matches("textarea")) return;
    event.preventDefault();
    form.requestSubmit(form.querySelector('button.primary[type="submit"]'));
  });
});

// Replaces the selection and keeps the browser's own undo, where it has the command.
function replace(field, text, from, to) {
  field.focus();
  field.setSelectionRange(from, to);
  if (!document.execCommand("insertText", false, text)) {
    field.setRangeText(text, from, to, "end");
    field.dispatchEvent(new Event("input", { bubbles: true }));
  }
}

function mark(field, button) {
  const { selectionStart: from, selectionEnd: to, value } = field;
  const picked = value.slice(from, to);
  if (button.dataset.line !== undefined) {
    const start = value.lastIndexOf("\n", from - 1) + 1;
    const lines = value.slice(start, to).split("\n");
    return replace(field, lines.map((line) => button.dataset.line + line).join("\n"), start, to);
  }
  if (button.dataset.link !== undefined) {
    replace(field, `[${picked}](https://)`, from, to);
    const at = picked ? from + picked.length + 11 : from + 1;
    return field.setSelectionRange(at, at);
  }
  const sign = button.dataset.mark;
  replace(field, sign + picked + sign, from, to);
  field.setSelectionRange(from + sign.length, from + sign.length + picked.length);
}

async function preview(field, box, button) {
  const show = box.hidden;
  if (show) {
    const answer = await post("/support/preview", { body: field.value });
    if (!answer.ok) return;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    box.replaceChildren(...page.querySelector(".prose").childNodes);
  }
  box.hidden = !show;
  field.hidden = show;
  button.setAttribute("aria-pressed", String(show));
  if (!show) field.focus();
}

each("[data-toolbar]", (toolbar) => {
  const field = document.getElementById(toolbar.dataset.toolbar);
  if (!field) return;
  toolbar.hidden = false;
  toolbar.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    if (button.dataset.preview !== undefined) {
      return preview(field, document.querySelector(`[data-preview-of="${field.id}"]`), button);
    }
    if (!field.hidden) mark(field, button);
  });
});

// New posts slide in below. What is being read stays where it is, and a pill leads to them.
each("[data-timeline]", (timeline) => {
  const posts = () => [...timeline.querySelectorAll("[data-message]")];
  let known = new Set(posts().map((post) => post.dataset.message));
  let waiting = [];
  let pill;

  function settle() {
    waiting = waiting.filter((id) => {
      const post = document.getElementById(`message-${id}`);
      return post && post.getBoundingClientRect().top > innerHeight - 80;
    });
    if (waiting.length === 0) {
      pill?.remove();
      pill = undefined;
      return;
    }
    if (!pill) {
      pill = document.createElement("button");
      pill.type = "button";
      pill.className = "new-pill new-posts";
      pill.addEventListener("click", () => {
        document.getElementById(`message-${waiting[0]}`)?.scrollIntoView({ block: "start" });
        settle();
      });
      document.body.append(pill);
    }
    pill.textContent = `${timeline.dataset.new}: ${waiting.length}`;
  }

  timeline.addEventListener("htmx:afterSettle", () => {
    const fresh = posts().filter((post) => !known.has(post.dataset.message));
    known = new Set(posts().map((post) => post.dataset.message));
    if (fresh.length === 0) return settle();
    for (const post of fresh) post.classList.add("arrived");
    say(fresh.map((post) => `${post.querySelector("b").textContent}: ${post.querySelector(".prose").textContent.trim().slice(0, 200)}`).join(" "));
    waiting.push(...fresh.map((post) => post.dataset.message));
    settle();
  });
  addEventListener("scroll", settle, { passive: true });
});
