// Two languages: the browser's choice first, then the user's. Nodes remember what they say, and follow a change.
import en from "../strings/en.js";
import zh from "../strings/zh.js";

const STRINGS = { en, zh };
const KEPT = "voicehelper.language";
const ATTRIBUTES = { hint: ["placeholder"], label: ["aria-label", "title"] };

/** @type {WeakMap<Element, Record<string, string|[string, object]>>} */
const said = new WeakMap();
/** @type {Set<() => void>} */
const listeners = new Set();

let current = chosen();

function chosen() {
  const kept = localStorage.getItem(KEPT);
  if (kept === "zh" || kept === "en") return kept;
  return navigator.language.toLowerCase().startsWith("zh") ? "zh" : "en";
}

/** @returns {"zh"|"en"} */
export const language = () => /** @type {any} */ (current);

/**
 * The text of a key; `{name}` stands for a value.
 * @param {string} key @param {Record<string, any>} [values] @returns {string}
 */
export function t(key, values = {}) {
  const text = STRINGS[current][key] ?? STRINGS.en[key] ?? key;
  return text.replace(/\{(\w+)\}/g, (whole, name) => (name in values ? String(values[name]) : whole));
}

/** @param {string} key @returns {boolean} */
export const known = (key) => key in STRINGS.en;

/**
 * Let a node say something, in whichever language is chosen.
 * @param {Element} node @param {"t"|"label"|"hint"} part @param {string|[string, object]} what
 */
export function describe(node, part, what) {
  said.set(node, { ...said.get(node), [part]: what });
  node.setAttribute("data-said", "");
  apply(node, part, what);
}

function apply(node, part, what) {
  const text = Array.isArray(what) ? t(what[0], what[1]) : t(what);
  if (part === "t") node.textContent = text;
  else for (const name of ATTRIBUTES[part]) node.setAttribute(name, text);
}

/** @param {"zh"|"en"} wanted */
export function speak(wanted) {
  current = wanted;
  localStorage.setItem(KEPT, wanted);
  translate(document.documentElement);
  for (const listener of listeners) listener();
}

/** Say everything below `root` anew, that of the page's own markup too (`data-t`, `data-label`, `data-hint`). */
export function translate(root) {
  document.documentElement.lang = current === "zh" ? "zh-CN" : "en";
  for (const part of ["t", "label", "hint"]) {
    for (const node of root.querySelectorAll(`[data-${part}]`)) describe(node, part, node.getAttribute(`data-${part}`));
  }
  for (const node of root.querySelectorAll("[data-said]")) {
    for (const [part, what] of Object.entries(said.get(node) ?? {})) apply(node, part, what);
  }
}

/** Told after each change of language. @param {() => void} listener */
export const onLanguage = (listener) => listeners.add(listener);

/** @param {string} when a time as ISO 8601 @returns {string} short: the hour today, else the day. */
export function shortTime(when) {
  const date = new Date(when);
  const today = new Date().toDateString() === date.toDateString();
  const form = today ? { hour: "2-digit", minute: "2-digit" } : { month: "short", day: "numeric" };
  return new Intl.DateTimeFormat(current === "zh" ? "zh-CN" : "en", /** @type {any} */ (form)).format(date);
}

/** @param {number} bytes */
export function size(bytes) {
  const units = ["B", "KB", "MB", "GB"];
  let at = 0;
  while (bytes >= 1024 && at < units.length - 1) (bytes /= 1024), at++;
  return `${bytes < 10 && at ? bytes.toFixed(1) : Math.round(bytes)} ${units[at]}`;
}
