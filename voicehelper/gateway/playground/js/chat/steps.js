// What the system is doing for an answer: the stages of its `status` events, later an agent's steps too.
import { el, fill, icon } from "../lib/dom.js";
import { known } from "../lib/i18n.js";

export class Steps {
  constructor() {
    this.list = el("ol", { class: "step-list" });
    this.now = el("span", { class: "step-now" });
    this.node = el("details", { class: "steps", hidden: true }, el("summary", {}, this.now), this.list);
    /** @type {{stage: string, at: number, node: HTMLElement}[]} */
    this.steps = [];
  }

  /** @param {string} stage as the server calls it @param {string} [detail] */
  add(stage, detail = "") {
    const last = this.steps.at(-1);
    if (last?.stage === stage && !detail) return;
    this._end();
    const name = label(stage);
    const node = el("li", { class: "doing" }, el("span", { class: "step-mark" }), name(), detail && el("span", { class: "faint" }, detail), el("span", { class: "step-time" }));
    this.steps.push({ stage, at: performance.now(), node });
    this.list.append(node);
    this.node.hidden = false;
    this.node.classList.add("busy");
    fill(this.now, el("span", { class: "spinner", "aria-hidden": "true" }), name());
  }

  /** The answer has ended. */
  end() {
    if (!this.steps.length) return;
    this._end();
    const seconds = ((performance.now() - this.steps[0].at) / 1000).toFixed(1);
    this.node.classList.remove("busy");
    fill(this.now, el("span", { t: ["steps.done", { count: this.steps.length, seconds }] }));
  }

  /** Begin anew. */
  clear() {
    this.steps = [];
    fill(this.list);
    this.node.hidden = true;
  }

  _end() {
    const last = this.steps.at(-1);
    if (!last || !last.node.classList.contains("doing")) return;
    last.node.classList.remove("doing");
    fill(/** @type {Element} */ (last.node.querySelector(".step-mark")), icon("check"));
    const time = last.node.querySelector(".step-time");
    if (time) time.textContent = `${((performance.now() - last.at) / 1000).toFixed(1)} s`;
  }
}

/** A stage we know has a name in both languages; another is shown as it is called. */
function label(stage) {
  const key = `stage.${stage}`;
  return () => (known(key) ? el("span", { t: key }) : el("span", {}, stage));
}
