// The Markdown that language models write, as nodes. Anything else stays text; links lead to http(s) only.
import { el } from "./dom.js";

/** A citation's mark in the text: one character of the private use area, 0xE000 + its place in the list. */
export const MARK = 0xe000;

const INLINE =
  /(?<ticks>`+)(?<code>.+?)\k<ticks>|\*\*(?<bold>.+?)\*\*|(?<![\w*])\*(?<italic>[^\s*][^*]*?)\*(?![\w*])|\[(?<name>[^\]]+)\]\((?<to>https?:\/\/[^\s)]+)\)|(?<url>https?:\/\/[\w\-./?%&=#:~+,;@!$]*[\w/])|(?<mark>[\uE000-\uF8FF])/gs;

/**
 * @param {string} text @param {(place: number) => Node|null} chip what stands for a citation's mark
 * @returns {DocumentFragment}
 */
export function markdown(text, chip) {
  const out = document.createDocumentFragment();
  const lines = text.split("\n");
  for (let at = 0; at < lines.length; ) at = block(lines, at, out, chip);
  return out;
}

/** One block beginning at a line. @returns {number} the line after it. */
function block(lines, at, out, chip) {
  const line = lines[at];
  if (!line.trim()) return at + 1;
  const fence = /^\s*(`{3,}|~{3,})/.exec(line);
  if (fence) return fenced(lines, at, fence[1], out);
  const heading = /^(#{1,6})\s+(.*)$/.exec(line);
  if (heading) return out.append(el(`h${Math.min(6, heading[1].length + 2)}`, {}, inline(heading[2], chip))), at + 1;
  if (/^\s*([-*_])(\s*\1){2,}\s*$/.test(line)) return out.append(el("hr")), at + 1;
  if (item(line)) return list(lines, at, out, chip);
  if (/^\s*\|/.test(line) && /^\s*\|?[\s:|-]+\|?\s*$/.test(lines[at + 1] ?? "")) return table(lines, at, out, chip);
  return paragraph(lines, at, out, chip);
}

function fenced(lines, at, fence, out) {
  let end = at + 1;
  while (end < lines.length && !lines[end].trim().startsWith(fence)) end++;
  const code = lines.slice(at + 1, end).join("\n").replace(/[\uE000-\uF8FF]/g, "");
  out.append(el("pre", { tabindex: "0" }, el("code", {}, code)));
  return end + 1;
}

/** A list's line: `- a`, `2. b`, and as Chinese is written, `2、b` and `2.二`. @param {string} line */
function item(line) {
  const found = /^(\s*)(?:([-*+•])\s+|([1-9]\d{0,2})(?:[.)]\s+|[.)](?=\p{Script=Han})|、\s*))(?=\S)(.*)$/u.exec(line);
  return found && { depth: found[1].length, number: Number(found[3] ?? 0), rest: found[4] };
}

function list(lines, at, out, chip) {
  const first = /** @type {any} */ (item(lines[at]));
  const node = el(first.number ? "ol" : "ul", { start: first.number > 1 ? first.number : null });
  while (at < lines.length) {
    const next = item(lines[at]);
    if (next && next.depth > first.depth + 1) {
      at = list(lines, at, node.lastElementChild, chip);
    } else if (next && !!next.number === !!first.number && next.depth >= first.depth - 1) {
      node.append(el("li", {}, inline(next.rest, chip)));
      at++;
    } else if (!lines[at].trim() && item(lines[at + 1] ?? "")) at++;
    else break;
  }
  out.append(node);
  return at;
}

function table(lines, at, out, chip) {
  const cells = (line) => line.trim().replace(/^\||\|$/g, "").split("|").map((cell) => cell.trim());
  const row = (line, tag) => el("tr", {}, ...cells(line).map((cell) => el(tag, {}, inline(cell, chip))));
  const body = el("tbody");
  const head = el("thead", {}, row(lines[at], "th"));
  for (at += 2; at < lines.length && /\|/.test(lines[at]); at++) body.append(row(lines[at], "td"));
  out.append(el("div", { class: "table-frame", tabindex: "0" }, el("table", {}, head, body)));
  return at;
}

function paragraph(lines, at, out, chip) {
  const quoted = lines[at].startsWith(">");
  const node = el("p");
  for (let first = true; at < lines.length && lines[at].trim() && lines[at].startsWith(">") === quoted; at++, first = false) {
    if (!first && (item(lines[at]) || /^#{1,6}\s|^\s*(`{3}|~{3})/.test(lines[at]))) break;
    if (!first) node.append(el("br"));
    node.append(inline(quoted ? lines[at].replace(/^>\s?/, "") : lines[at], chip));
  }
  out.append(quoted ? el("blockquote", {}, node) : node);
  return at;
}

/** @param {string} text @param {(place: number) => Node|null} chip */
function inline(text, chip) {
  const out = document.createDocumentFragment();
  let end = 0;
  for (const found of text.matchAll(INLINE)) {
    out.append(text.slice(end, found.index));
    end = found.index + found[0].length;
    out.append(piece(/** @type {any} */ (found.groups), chip) ?? "");
  }
  out.append(text.slice(end));
  return out;
}

function piece({ code, bold, italic, name, to, url, mark }, chip) {
  if (mark) return chip(mark.charCodeAt(0) - MARK);
  if (code !== undefined) return el("code", {}, code.trim());
  if (bold !== undefined) return el("strong", {}, inline(bold, chip));
  if (italic !== undefined) return el("em", {}, inline(italic, chip));
  return el("a", { href: to ?? url, target: "_blank", rel: "noopener noreferrer" }, name ?? url);
}

/**
 * `text` with a mark after each cited part.
 * @param {string} text @param {{start: number, end: number}[]} citations places counted in characters, as Python counts
 */
export function marked(text, citations) {
  const characters = Array.from(text.replace(/[\uE000-\uF8FF]/g, "\uFFFD"));
  const marks = citations.map((citation, place) => ({ at: Math.min(citation.end, characters.length), place }));
  for (const { at, place } of marks.sort((a, b) => b.at - a.at || b.place - a.place)) {
    let before = at;
    while (before > 0 && /\s/.test(characters[before - 1])) before--; // beside the word, not on the next line
    characters.splice(before, 0, String.fromCharCode(MARK + place));
  }
  return characters.join("");
}
