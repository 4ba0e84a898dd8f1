// Questions to the user: a name, a yes or no. And short notices.
import { el, icon } from "./dom.js";

/**
 * @param {string} title key @param {string|[string, object]} text key @param {{danger?: boolean, action: string, input?: string}} options
 * @returns {Promise<string|null>} what was typed ("" where nothing is asked for), null if he thought better of it.
 */
function ask(title, text, { danger = false, action, input }) {
  return new Promise((resolve) => {
    const field = input === undefined ? null : el("input", { type: "text", maxlength: "200", required: true, value: input, label: text, class: "field" });
    const cancel = el("button", { type: "button", class: "button quiet", t: "cancel", onclick: () => dialog.close() });
    const go = el("button", { type: "submit", class: danger ? "button danger" : "button primary", t: action });
    const form = el("form", { class: "stack", onsubmit: (event) => (event.preventDefault(), done(field ? field.value.trim() : "")) },
      el("h2", { t: title }), field ?? el("p", { t: text }), el("div", { class: "row end" }, cancel, go));
    const dialog = el("dialog", { class: "small-dialog", onclose: () => (dialog.remove(), resolve(null)) }, form);
    const done = (value) => (field && !value ? field.focus() : (resolve(value), dialog.close()));
    document.body.append(dialog);
    dialog.showModal();
    if (field) field.select();
    else cancel.focus();
  });
}

/** @param {string} title @param {string|[string, object]} text @param {string} action @returns {Promise<boolean>} */
export const confirmed = async (title, text, action) => (await ask(title, text, { danger: true, action })) !== null;

/** @param {string} title @param {string} label @param {string} value @param {string} action */
export const typed = (title, label, value, action) => ask(title, label, { action, input: value });

/** A line that goes away by itself. @param {string} text @param {"error"|"done"} [kind] */
export function notify(text, kind = "done") {
  const close = () => note.remove();
  const note = el("div", { class: `notice ${kind}`, role: kind === "error" ? "alert" : "status" }, icon(kind === "error" ? "warn" : "check"), el("span", {}, text),
    el("button", { type: "button", class: "icon-button small", label: "close", onclick: close }, icon("close")));
  document.getElementById("notices")?.append(note);
  setTimeout(close, kind === "error" ? 12_000 : 4000);
}

/** Have a screen reader say something. @param {string} text */
export function announce(text) {
  const region = document.getElementById("announcer");
  if (region) region.textContent = text;
}
