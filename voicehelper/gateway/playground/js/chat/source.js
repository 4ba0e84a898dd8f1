// The passage behind a citation, in a panel beside the conversation (over it, on a small screen).
import { byId, el, fill } from "../lib/dom.js";

const SMALL = "(max-width: 1100px)";

export class SourcePanel {
  /** @param {import("../lib/api.js").Api} api @param {() => boolean} mayRead whether the user may search the knowledge bases */
  constructor(api, mayRead) {
    this.api = api;
    this.mayRead = mayRead;
    this.dialog = byId("source");
    this.body = byId("source-body");
    this.opener = null;
    /** @type {Map<string, string>} */
    this.passages = new Map();
    byId("source-close").addEventListener("click", () => this.close());
    this.dialog.addEventListener("keydown", (event) => event.key === "Escape" && (event.stopPropagation(), this.close()));
    this.dialog.addEventListener("close", () => this._closed());
    this.dialog.addEventListener("click", (event) => event.target === this.dialog && this.close());
  }

  /** @param {any[]} citations of the answer, all of one passage @param {any} citation the one that was chosen */
  async open(citations, citation) {
    this.opener = document.activeElement;
    this.shown = citation.chunk_id;
    const passage = el("div", { class: "passage" }, ...citations.map((each) => el("blockquote", {}, el("mark", {}, each.quote))));
    const more = el("p", { class: "faint", t: "source.loading", role: "status" });
    fill(this.body, ...header(citation), passage, more);
    this.dialog.close();
    if (matchMedia(SMALL).matches) this.dialog.showModal();
    else this.dialog.show();
    document.documentElement.classList.add("source-open");
    byId("source-close").focus();
    const text = await this._passage(citation).catch(() => "");
    if (this.shown !== citation.chunk_id) return;
    more.remove();
    if (text) fill(passage, ...highlighted(text, citations.map((each) => each.quote)));
    passage.querySelector("mark")?.scrollIntoView({ block: "center" });
  }

  close() {
    this.dialog.close();
  }

  _closed() {
    document.documentElement.classList.remove("source-open");
    if (this.opener?.isConnected) this.opener.focus();
  }

  /** The whole passage: a search for what is quoted finds it. */
  async _passage(citation) {
    const kept = this.passages.get(citation.chunk_id);
    if (kept !== undefined || !this.mayRead()) return kept ?? "";
    const found = await this.api.post("/search", { query: citation.quote.slice(0, 400), top_k: 20 });
    for (const passage of found.passages) this.passages.set(passage.chunk_id, passage.text);
    return this.passages.get(citation.chunk_id) ?? "";
  }
}

function header(citation) {
  const path = citation.heading.map((part) => el("li", {}, part));
  return [
    el("h3", { class: "source-name" }, citation.document_name),
    el("p", { class: "source-place" }, citation.page !== null && citation.page !== undefined && el("span", { class: "tag", t: ["source.page", { page: citation.page }] })),
    path.length ? el("ol", { class: "crumbs", label: "source.heading" }, ...path) : null,
  ].filter(Boolean);
}

/** The passage, with what was quoted marked: as written, or else with any white space in between. */
function highlighted(text, quotes) {
  const spans = quotes.map((quote) => find(text, quote)).filter((span) => span !== null).sort((a, b) => a[0] - b[0]);
  if (!spans.length) return [...quotes.map((quote) => el("blockquote", {}, el("mark", {}, quote))), el("p", {}, text)];
  const out = [];
  let end = 0;
  for (const [from, to] of spans) {
    if (from < end) continue;
    out.push(text.slice(end, from), el("mark", {}, text.slice(from, to)));
    end = to;
  }
  return [el("p", {}, ...out, text.slice(end))];
}

/** @returns {[number, number]|null} */
function find(text, quote) {
  const parts = quote.trim().split(/\s+/).map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
  const found = new RegExp(parts.join("\\s*")).exec(text);
  return found ? [found.index, found.index + found[0].length] : null;
}
