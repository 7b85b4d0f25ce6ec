// Files for a message go up one by one as soon as they are chosen, dropped on the form or pasted, each with its progress.
//
//   [data-upload="ADDRESS"]   a picker (views/attachments/picker.html) within its form: files are posted there, one a request;
//                             [data-uploads] in it takes the row that comes back, or says what is wrong
import { each } from "./each.js";
import { say } from "./feedback.js";

const token = () => JSON.parse(document.body.getAttribute("hx-headers"))["X-CSRF-Token"];
const atOnce = 2;

each("[data-upload]", (picker) => {
  const form = picker.closest("form");
  const list = picker.querySelector("[data-uploads]");
  const field = picker.querySelector('input[type="file"]');
  const words = (text, name) => text.replace("{name}", name);
  const waiting = [];
  let running = 0;

  for (const button of list.querySelectorAll("[data-remove-upload]")) button.hidden = false;

  function add(file, paste) {
    const row = document.createElement("li");
    row.className = "upload";
    const name = document.createElement("bdi");
    name.textContent = file.name;
    const bar = document.createElement("progress");
    bar.max = 1;
    bar.value = 0;
    bar.setAttribute("aria-label", file.name);
    const cancel = document.createElement("button");
    cancel.type = "button";
    cancel.className = "button quiet small";
    cancel.textContent = "×";
    cancel.setAttribute("aria-label", words(picker.dataset.cancel, file.name));
    row.append(name, bar, cancel);
    list.append(row);
    const job = { file, row, bar, paste };
    cancel.addEventListener("click", () => {
      job.cancelled = true;
      job.request?.abort();
      row.remove();
      field.focus();
    });
    waiting.push(job);
    next();
  }

  function next() {
    while (running < atOnce && waiting.length > 0) {
      const job = waiting.shift();
      if (!job.cancelled) send(job);
    }
  }

  function send(job) {
    running += 1;
    const request = new XMLHttpRequest();
    job.request = request;
    request.open("POST", picker.dataset.upload);
    request.setRequestHeader("X-CSRF-Token", token());
    request.setRequestHeader("HX-Request", "true");
    request.setRequestHeader("Content-Type", "application/octet-stream");
    request.setRequestHeader("X-File-Name", encodeURIComponent(job.file.name.toWellFormed?.() ?? job.file.name));
    request.upload.addEventListener("progress", (event) => {
      if (event.lengthComputable) job.bar.value = event.loaded / event.total;
    });
    request.addEventListener("load", () => {
      if (request.status === 200) return done(job, request.responseText);
      const plain = request.status === 422 && request.getResponseHeader("Content-Type")?.startsWith("text/plain");
      refuse(job, plain ? request.responseText : words(picker.dataset.failed, job.file.name));
    });
    request.addEventListener("error", () => refuse(job, words(picker.dataset.lost, job.file.name)));
    request.addEventListener("loadend", () => {
      running -= 1;
      next();
      settle();
    });
    request.send(job.file);
  }

  function done(job, html) {
    const row = new DOMParser().parseFromString(html, "text/html").querySelector("li");
    if (!row) return refuse(job, words(picker.dataset.failed, job.file.name));
    for (const button of row.querySelectorAll("[data-remove-upload]")) button.hidden = false;
    job.row.replaceWith(row);
    say(words(picker.dataset.done, job.file.name));
    if (job.paste && row.dataset.image) {
      const { target } = job.paste;
      target.setRangeText(`![${job.file.name.replace(/[[\]\\]/g, "")}](${row.dataset.image})`, target.selectionStart, target.selectionEnd, "end");
      target.dispatchEvent(new Event("input", { bubbles: true }));
    }
  }

  function refuse(job, text) {
    const problem = document.createElement("p");
    problem.className = "error";
    problem.textContent = text;
    job.bar.remove();
    job.row.querySelector("bdi").replaceWith(problem);
    say(text);
  }

  // A form that is posted while files are on their way waits for them.
  let posting = null;
  function settle() {
    if (!posting || running > 0 || waiting.length > 0) return;
    const submitter = posting.submitter;
    posting = null;
    if (!list.querySelector(".error")) form.requestSubmit(submitter);
  }
  form.addEventListener(
    "submit",
    (event) => {
      if (running === 0 && waiting.length === 0) return;
      event.preventDefault();
      event.stopImmediatePropagation();
      posting = event;
    },
    true,
  );

  field.addEventListener("change", () => {
    for (const file of [...field.files]) add(file);
    field.value = "";
  });
  form.addEventListener("dragover", (event) => {
    if (!event.dataTransfer.types.includes("Files")) return;
    event.preventDefault();
    form.classList.add("dropping");
  });
  form.addEventListener("dragleave", (event) => {
    if (!form.contains(event.relatedTarget)) form.classList.remove("dropping");
  });
  form.addEventListener("drop", (event) => {
    form.classList.remove("dropping");
    if (event.dataTransfer.files.length === 0) return;
    event.preventDefault();
    for (const file of [...event.dataTransfer.files]) add(file);
  });
  form.addEventListener("paste", (event) => {
    const files = [...event.clipboardData.files];
    if (files.length === 0) return;
    event.preventDefault();
    const target = event.target.matches("textarea") ? event.target : null;
    for (const file of files) add(file, target && { target });
  });

  list.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-remove-upload]");
    if (!button) return;
    const row = button.closest("li");
    row.querySelector("input").checked = false; // even if the removal fails it is not posted
    const answer = await fetch(button.dataset.removeUpload, { method: "POST", headers: { "X-CSRF-Token": token(), "HX-Request": "true" } });
    if (answer.ok || answer.status === 404) {
      row.remove();
      field.focus();
    }
  });
});
