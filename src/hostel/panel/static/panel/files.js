// The upload form: one request a file, with its progress, and files dropped anywhere on the page.

"use strict";

const form = document.querySelector("[data-upload]");
const list = form.querySelector("[data-uploads]");
const button = form.querySelector("button[type=submit]");

function row(name) {
  const line = document.createElement("div");
  line.className = "upload";
  const label = document.createElement("label");
  label.textContent = name;
  const progress = document.createElement("progress");
  progress.max = 1;
  progress.value = 0;
  label.append(progress);
  line.append(label);
  list.append(line);
  return { line, progress };
}

function tell(line, words) {
  const error = document.createElement("p");
  error.className = "field-error";
  error.setAttribute("role", "alert");
  error.textContent = words;
  line.append(error);
}

function words(request) {
  try {
    return JSON.parse(request.responseText).errors.join(" ");
  } catch {
    return request.status === 413 ? "Larger than 100 MiB." : "It did not arrive. Try again.";
  }
}

function send(file) {
  const { line, progress } = row(file.name);
  const data = new FormData(form);
  data.set("content", file);
  const request = new XMLHttpRequest();
  request.open("POST", form.action);
  request.setRequestHeader("Accept", "application/json");
  request.upload.addEventListener("progress", (event) => {
    if (event.lengthComputable) progress.value = event.loaded / event.total;
  });
  return new Promise((resolve) => {
    request.addEventListener("loadend", () => {
      const done = request.status === 200;
      if (!done) tell(line, words(request));
      resolve(done);
    });
    request.send(data);
  });
}

async function sendAll(files) {
  if (!files.length) return;
  list.replaceChildren();
  button.disabled = true;
  let failed = 0;
  for (const file of files) failed += (await send(file)) ? 0 : 1;
  button.disabled = false;
  form.querySelector("input[type=file]").value = "";
  if (!failed) window.location.reload();
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  sendAll([...form.querySelector("input[type=file]").files]);
});

document.addEventListener("dragover", (event) => {
  if (!event.dataTransfer.types.includes("Files")) return;
  event.preventDefault();
  document.body.classList.add("dropping");
});
document.addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) document.body.classList.remove("dropping");
});
document.addEventListener("drop", (event) => {
  if (!event.dataTransfer.files.length) return;
  event.preventDefault();
  document.body.classList.remove("dropping");
  sendAll([...event.dataTransfer.files]);
});
