// Turns the text field into CodeMirror. Without it the text field is the editor.

"use strict";

const field = document.querySelector("[data-editor]");
const editor = CodeMirror.fromTextArea(field, {
  mode: field.dataset.mode || null,
  lineNumbers: true,
  indentUnit: 4,
  matchBrackets: true,
  readOnly: field.readOnly,
  lineWrapping: false,
  viewportMargin: 50,
  extraKeys: {
    Tab: (cm) => (cm.somethingSelected() ? cm.indentSelection("add") : cm.replaceSelection("    ")),
    "Shift-Tab": (cm) => cm.indentSelection("subtract"),
    Esc: (cm) => cm.getInputField().blur(),
    "Ctrl-S": save,
    "Cmd-S": save,
  },
});
editor.getInputField().setAttribute("aria-label", "Text of the file");

const form = field.form;
let saved = editor.getValue();

function save() {
  if (form) form.requestSubmit(form.querySelector("button[type=submit]"));
}

if (form) {
  form.addEventListener("submit", () => {
    editor.save();
    saved = editor.getValue();
  });
  window.addEventListener("beforeunload", (event) => {
    if (editor.getValue() !== saved) event.preventDefault();
  });
}
