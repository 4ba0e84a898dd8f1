// Building nodes. Nothing here (or anywhere on this page) turns text into markup.
import { describe } from "./i18n.js";

const SVG = "http://www.w3.org/2000/svg";

/**
 * A new element. Properties: `class`; `onclick` and the like (functions); `t`, `label`, `hint` (keys of the language
 * files, or `[key, values]`: text, accessible name, placeholder; they follow the language); anything else is an
 * attribute, left out where it is null or false.
 * @param {string} tag
 * @param {Record<string, any>} [properties]
 * @param {...(Node|string|null|undefined|false)} children
 * @returns {any}
 */
export function el(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") node.addEventListener(name.slice(2), value);
    else if (name === "t" || name === "label" || name === "hint") describe(node, name, value);
    else if (name === "class") node.className = value;
    else if (name === "value") node.value = value;
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  node.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

/** Replace everything in `node`. @param {Element} node @param {...(Node|string|null|false)} children */
export function fill(node, ...children) {
  node.replaceChildren(...children.filter((child) => child !== null && child !== false));
  return node;
}

/** Show or hide. @param {HTMLElement} node @param {boolean} shown */
export function show(node, shown) {
  node.hidden = !shown;
}

/** @param {string} id @returns {any} the element of the page's own markup. */
export function byId(id) {
  const node = document.getElementById(id);
  if (!node) throw new Error(`No element ${id}`);
  return node;
}

/** Outlines on a 24 x 24 grid. */
const ICONS = {
  plus: ["M12 5v14M5 12h14"],
  send: ["M12 19V5M5.5 11.5 12 5l6.5 6.5"],
  stop: ["M7 7h10v10H7z"],
  mic: ["M12 3a3 3 0 0 0-3 3v5a3 3 0 0 0 6 0V6a3 3 0 0 0-3-3z", "M5.5 11a6.5 6.5 0 0 0 13 0M12 17.5V21"],
  wave: ["M4 10v4M8 6.5v11M12 3.5v17M16 7.5v9M20 10v4"],
  end: ["M3 14.5c5-5 13-5 18 0l-1.8 3.2-4.4-1.6-.3-2.6a9 9 0 0 0-5 0l-.3 2.6-4.4 1.6z"],
  hand: ["M8 12.5V6a1.5 1.5 0 0 1 3 0v5M11 10.5V4.5a1.5 1.5 0 0 1 3 0v6M14 11V6a1.5 1.5 0 0 1 3 0v8.5a6 6 0 0 1-6 6c-3 0-4.2-1.5-5.7-4.2l-1.6-2.9a1.45 1.45 0 0 1 2.5-1.4L8 14"],
  up: ["M7 10.5 11 3.5c1.4 0 2.3 1 2.1 2.4L12.6 9H18a2 2 0 0 1 2 2.3l-1 6.5a2 2 0 0 1-2 1.7H7z", "M7 10.5H4v9h3"],
  down: ["M17 13.5 13 20.5c-1.4 0-2.3-1-2.1-2.4L11.4 15H6a2 2 0 0 1-2-2.3l1-6.5a2 2 0 0 1 2-1.7h10z", "M17 13.5h3v-9h-3"],
  again: ["M19.5 12a7.5 7.5 0 1 1-2.3-5.4M19.5 4v4.5H15"],
  copy: ["M9 9h10v11H9z", "M15 9V4H5v11h4"],
  edit: ["M4 20h4L19 9l-4-4L4 16z"],
  trash: ["M5 7h14M10 7V4.5h4V7M6.5 7l1 13h9l1-13M10.5 11v5.5M13.5 11v5.5"],
  close: ["M6 6l12 12M18 6 6 18"],
  menu: ["M4 7h16M4 12h16M4 17h16"],
  book: ["M5 4.5h10a3 3 0 0 1 3 3v12H8a3 3 0 0 1-3-3z", "M5 16.5a3 3 0 0 1 3-3h10"],
  file: ["M6 3.5h8l4 4v13H6z", "M14 3.5v4h4"],
  upload: ["M12 16V5M7 9.5 12 4.5l5 5M5 16v3.5h14V16"],
  check: ["M5 12.5 10 17.5 19 7"],
  warn: ["M12 4 2.5 20h19z", "M12 10v4.5M12 17.2v.3"],
  sun: ["M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8zM12 2.5v2M12 19.5v2M2.5 12h2M19.5 12h2M5.3 5.3l1.4 1.4M17.3 17.3l1.4 1.4M18.7 5.3l-1.4 1.4M6.7 17.3l-1.4 1.4"],
  moon: ["M19.5 14.5A8 8 0 0 1 9.5 4.5a8 8 0 1 0 10 10z"],
  globe: ["M12 3.5a8.5 8.5 0 1 0 0 17 8.5 8.5 0 0 0 0-17zM3.5 12h17M12 3.5c5 5.5 5 11.5 0 17M12 3.5c-5 5.5-5 11.5 0 17"],
  leave: ["M14 4.5h5v15h-5M4 12h10M10.5 8 14.5 12l-4 4"],
  gear: ["M4 7h9M17 7h3M4 17h3M11 17h9M15 4.5a2.5 2.5 0 1 0 0 5 2.5 2.5 0 0 0 0-5zM9 14.5a2.5 2.5 0 1 0 0 5 2.5 2.5 0 0 0 0-5z"],
};

/** @param {keyof typeof ICONS} name */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  for (const outline of ICONS[name]) {
    const path = document.createElementNS(SVG, "path");
    path.setAttribute("d", outline);
    svg.append(path);
  }
  return svg;
}

/**
 * A button that shows only an icon; its name is read out and shown as a hint.
 * @param {keyof typeof ICONS} name @param {string|[string, object]} label @param {(event: MouseEvent) => void} act
 * @param {Record<string, any>} [more]
 */
export function iconButton(name, label, act, more = {}) {
  return el("button", { type: "button", class: "icon-button", label, onclick: act, ...more }, icon(name));
}
