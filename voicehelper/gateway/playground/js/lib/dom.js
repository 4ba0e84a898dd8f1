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
  muted: ["M9 9v2a3 3 0 0 0 4.5 2.6M15 11V6a3 3 0 0 0-5.7-1.3", "M5.5 11a6.5 6.5 0 0 0 10 5.5M18.5 11c0 1-.2 2-.6 2.800M12 17.5V21", "M4 4l16 16"],
  wave: ["M4 10v4M8 6.500v11M12 3.500v17M16 7.500v9M20 10v4"],
  end: ["M4.500 14.500c4.500-4 10.500-4 15 0l-2 3-3.500-1.500v-2.500a9 9 0 0 0-4 0V16l-3.500 1.500z"],
  hand: ["M8 12.500V6a1.500 1.500 0 0 1 3 0v5M11 10.500V4.500a1.500 1.500 0 0 1 3 0v6M14 11V6a1.500 1.500 0 0 1 3 0v8.500a6 6 0 0 1-6 6c-3 0-4.200-1.500-5.700-4.200l-1.600-2.900a1.450 1.450 0 0 1 2.500-1.400L8 14"],
  up: ["M7 10.500 11 3.500c1.400 0 2.300 1 2.100 2.400L12.600 9H18a2 2 0 0 1 2 2.300l-1 6.500a2 2 0 0 1-2 1.700H7z", "M7 10.500H4v9h3"],
  down: ["M17 13.500 13 20.500c-1.400 0-2.300-1-2.100-2.400L11.400 15H6a2 2 0 0 1-2-2.300l1-6.500a2 2 0 0 1 2-1.700h10z", "M17 13.500h3v-9h-3"],
  again: ["M19.500 12a7.500 7.500 0 1 1-2.300-5.400M19.500 4v4.500H15"],
  copy: ["M9 9h10v11H9z", "M15 9V4H5v11h4"],
  edit: ["M4 20h4L19 9l-4-4L4 16z"],
  trash: ["M5 7h14M10 7V4.500h4V7M6.500 7l1 13h9l1-13M10.500 11v5.500M13.500 11v5.500"],
  close: ["M6 6l12 12M18 6 6 18"],
  menu: ["M4 7h16M4 12h16M4 17h16"],
  book: ["M5 4.500h10a3 3 0 0 1 3 3v12H8a3 3 0 0 1-3-3z", "M5 16.500a3 3 0 0 1 3-3h10"],
  file: ["M6 3.500h8l4 4v13H6z", "M14 3.500v4h4"],
  upload: ["M12 16V5M7 9.500 12 4.500l5 5M5 16v3.500h14V16"],
  check: ["M5 12.500 10 17.500 19 7"],
  warn: ["M12 4 2.500 20h19z", "M12 10v4.500M12 17.200v.3"],
  sun: ["M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8zM12 2.500v2M12 19.500v2M2.500 12h2M19.500 12h2M5.300 5.300l1.400 1.400M17.300 17.300l1.400 1.400M18.700 5.300l-1.400 1.400M6.700 17.300l-1.400 1.400"],
  moon: ["M19.500 14.500A8 8 0 0 1 9.500 4.500a8 8 0 1 0 10 10z"],
  globe: ["M12 3.500a8.500 8.500 0 1 0 0 17 8.500 8.500 0 0 0 0-17zM3.500 12h17M12 3.500c5 5.500 5 11.500 0 17M12 3.500c-5 5.500-5 11.500 0 17"],
  leave: ["M14 4.500h5v15h-5M4 12h10M10.500 8 14.500 12l-4 4"],
  gear: ["M4 7h9M17 7h3M4 17h3M11 17h9M15 4.500a2.500 2.500 0 1 0 0 5 2.500 2.500 0 0 0 0-5zM9 14.500a2.500 2.500 0 1 0 0 5 2.500 2.500 0 0 0 0-5z"],
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
