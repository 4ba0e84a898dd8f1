// One message of the thread.
import { el, fill, icon, iconButton, show } from "../lib/dom.js";
import { notify } from "../lib/dialogs.js";
import { t } from "../lib/i18n.js";
import { marked, markdown } from "../lib/markdown.js";
import { Steps } from "./steps.js";

/** @typedef {{openSource: (all: any[], one: any) => void, regenerate: (view: AnswerView) => void, rate: (view: AnswerView, rating: "up"|"down"|null) => void}} AnswerActs */

/** @param {string} content @param {boolean} [spoken] @returns {HTMLElement} */
export function questionNode(content, spoken = false) {
  return el("article", { class: "message question", label: "message.you" }, el("div", { class: "bubble" }, spoken && icon("mic"), el("span", {}, content)));
}

export class AnswerView {
  /** @param {AnswerActs} acts */
  constructor(acts) {
    this.acts = acts;
    /** @type {any} */
    this.message = { content: "", citations: [], status: "streaming", metadata: {} };
    this.steps = new Steps();
    this.text = el("div", { class: "answer-text" });
    this.state = el("p", { class: "answer-state", hidden: true });
    this.sources = el("ul", { class: "sources", label: "sources", hidden: true });
    this.strip = el("div", { class: "strip-place" });
    this.actions = el("div", { class: "actions", hidden: true });
    this.node = el("article", { class: "message answer", label: "message.assistant" }, this.steps.node, this.text, this.state, this.sources, this.strip, this.actions);
    this.drawing = 0;
    this.last = false;
  }

  /** @param {any} message as stored */
  set(message) {
    this.message = { ...this.message, ...message };
    if (message.status !== "streaming") this.steps.end();
    this.draw();
  }

  /** @param {string} text more of it */
  append(text) {
    this.message.content += text;
    this.drawing ||= requestAnimationFrame(() => this.draw());
  }

  /** @param {any} citation */
  cite(citation) {
    this.message.citations.push(citation);
    this.drawing ||= requestAnimationFrame(() => this.draw());
  }

  /** It is written anew. */
  restart() {
    this.steps.clear();
    this.set({ content: "", citations: [], status: "streaming", metadata: {}, rating: null });
  }

  /** Only the last answer can be written anew. @param {boolean} last */
  setLast(last) {
    this.last = last;
    this._actions();
  }

  /** Say that something is wrong. @param {string} text */
  fail(text) {
    this.message.status = "failed";
    this.message.metadata = { ...this.message.metadata, shown: text };
    this.steps.end();
    this.draw();
  }

  draw() {
    this.drawing = 0;
    const { content, citations, status } = this.message;
    this.node.classList.toggle("streaming", status === "streaming");
    this.node.setAttribute("aria-busy", String(status === "streaming"));
    fill(this.text, markdown(marked(content, citations), (place) => this._chip(citations[place])));
    show(this.text, content !== "");
    this._state();
    this._sources();
    this._actions();
  }

  _chip(citation) {
    if (!citation) return null;
    const name = ["source.open", { index: citation.index, name: citation.document_name }];
    return el("button", { type: "button", class: "cite", label: name, onclick: () => this._open(citation) }, String(citation.index));
  }

  _open(citation) {
    this.acts.openSource(this.message.citations.filter((each) => each.chunk_id === citation.chunk_id), citation);
  }

  _sources() {
    const unique = new Map(this.message.citations.map((citation) => [citation.index, citation]));
    const chips = [...unique.values()].map((citation) => el("li", {}, el("button", { type: "button", class: "source-chip", onclick: () => this._open(citation) },
      el("span", { class: "number" }, String(citation.index)), el("span", { class: "name" }, citation.document_name),
      citation.page ? el("span", { class: "faint", t: ["source.page", { page: citation.page }] }) : null)));
    fill(this.sources, ...chips);
    show(this.sources, chips.length > 0 && this.message.status !== "streaming");
  }

  _state() {
    const { status, metadata } = this.message;
    const cut = metadata.heard !== undefined && metadata.heard !== null;
    this.node.classList.toggle("failed", status === "failed");
    if (status === "failed") fill(this.state, icon("warn"), el("span", metadata.shown ? {} : { t: "answer.failed" }, metadata.shown ?? ""));
    else if (cut) fill(this.state, icon("hand"), el("span", { t: "answer.interrupted" }));
    else if (status === "stopped") fill(this.state, icon("stop"), el("span", { t: "answer.stopped" }));
    show(this.state, status === "failed" || status === "stopped" || cut);
  }

  _actions() {
    const { status, rating, content, metadata } = this.message;
    const done = status !== "streaming" && this.message.id !== undefined;
    if (done) {
      const rate = (/** @type {"up"|"down"} */ wanted) => iconButton(wanted, `rate.${wanted}`, () => this.acts.rate(this, rating === wanted ? null : wanted), { "aria-pressed": String(rating === wanted), class: "icon-button small" });
      fill(this.actions,
        content ? iconButton("copy", "copy", () => this._copy(), { class: "icon-button small" }) : null,
        content ? rate("up") : null, content ? rate("down") : null,
        this.last ? iconButton("again", "regenerate", () => this.acts.regenerate(this), { class: "icon-button small" }) : null,
        metadata.model ? el("span", { class: "faint model" }, metadata.model) : null);
    }
    show(this.actions, done);
  }

  async _copy() {
    try {
      await navigator.clipboard.writeText(this.message.content);
      notify(t("copied"));
    } catch {
      notify(t("copy.failed"), "error");
    }
  }
}
