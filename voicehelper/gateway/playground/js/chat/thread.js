// The conversation on the screen: its messages, and the answer being written.
import { ApiError, problem } from "../lib/api.js";
import { byId, fill, show } from "../lib/dom.js";
import { announce, notify } from "../lib/dialogs.js";
import { t } from "../lib/i18n.js";
import { ask, goOn } from "./answers.js";
import { AnswerView, questionNode } from "./message.js";

const PAGE = 100;

export class Thread {
  /**
   * @param {import("../lib/api.js").Api} api @param {import("./source.js").SourcePanel} source
   * @param {{busy: (busy: boolean) => void, asked: () => void, suggest: (text: string) => void}} told
   */
  constructor(api, source, told) {
    this.api = api;
    this.source = source;
    this.told = told;
    this.list = byId("thread");
    this.scroller = byId("scroller");
    this.conversation = "";
    /** @type {Map<string, AnswerView>} */
    this.answers = new Map();
    this.abort = new AbortController();
    this.busy = false;
    this.acts = { openSource: (all, one) => source.open(all, one), regenerate: (view) => this.regenerate(view), rate: (view, rating) => this._rate(view, rating) };
    new ResizeObserver(() => this.pinned && this._bottom()).observe(this.list);
    this.pinned = true;
    this.scroller.addEventListener("scroll", () => (this.pinned = this.scroller.scrollHeight - this.scroller.scrollTop - this.scroller.clientHeight < 80));
  }

  /** Show a conversation; "" for one that does not exist yet. Throws `ApiError`, `Offline`. @param {string} id */
  async open(id) {
    this.abort.abort();
    this.abort = new AbortController();
    this.source.close();
    this.conversation = id;
    this.answers.clear();
    this._busy(false);
    fill(this.list);
    this._empty();
    this.pinned = true;
    if (!id) return;
    for (let after = "0"; after; ) {
      const page = await this.api.get(`/conversations/${id}/messages?limit=${PAGE}&after=${after}`);
      if (this.conversation !== id) return;
      for (const message of page.items) this._show(message);
      after = page.next_cursor;
    }
    this._mark();
    const running = [...this.answers.values()].find((view) => view.message.status === "streaming");
    if (running) {
      running.message.content = "";
      this._run(running, goOn(this.api, running.message, (cut) => this._cut(running, cut), this.abort.signal));
    }
  }

  /** Ask by text. @param {string} content @param {string[]|null} bases */
  async ask(content, bases) {
    const question = this.addQuestion(content);
    const view = this.addAnswer();
    const body = { content, keep_running: true, ...(bases?.length ? { knowledge_bases: bases } : {}) };
    const started = await this._run(view, ask(this.api, `/conversations/${this.conversation}/messages`, body, (cut) => this._cut(view, cut), this.abort.signal));
    if (!started) question.classList.add("unsent");
  }

  /** @param {AnswerView} view */
  async regenerate(view) {
    if (this.busy) return;
    view.restart();
    const path = `/conversations/${this.conversation}/messages/${view.message.id}/regenerate`;
    await this._run(view, ask(this.api, path, { keep_running: true }, (cut) => this._cut(view, cut), this.abort.signal));
  }

  /** Stop the answer being written. */
  async stop() {
    const view = [...this.answers.values()].find((each) => each.message.status === "streaming");
    if (!view?.message.id) return;
    try {
      view.set(await this.api.post(`/conversations/${this.conversation}/messages/${view.message.id}/stop`, undefined));
    } catch (error) {
      notify(problem(error), "error");
    }
  }

  /** @param {string} content @param {boolean} [spoken] */
  addQuestion(content, spoken = false) {
    const node = questionNode(content, spoken);
    this.list.append(node);
    this.pinned = true;
    this._empty();
    this._bottom();
    return node;
  }

  addAnswer() {
    const view = new AnswerView(this.acts);
    view.steps.add("sending");
    view.draw();
    this.list.append(view.node);
    this._bottom();
    return view;
  }

  /** One event of an answer. @param {AnswerView} view @param {{event: string, data: any}} event @returns {boolean} whether it was the last. */
  apply(view, { event, data }) {
    if (event === "message.created") {
      view.restart();
      view.set({ ...data.answer, content: "", citations: [] });
      this.answers.set(data.answer.id, view);
      this._mark();
    } else if (event === "status") view.steps.add(data.stage, data.detail ?? "");
    else if (event === "delta") view.append(data.text);
    else if (event === "citation") view.cite(data);
    else if (event === "message.completed" || event === "message.stopped") {
      view.set(data.message);
      announce(data.message.content);
      return true;
    } else if (event === "error") {
      view.fail(problem(new ApiError(Math.floor(data.code / 100), data)));
      return true;
    }
    return false;
  }

  async _run(view, events) {
    const { signal } = this.abort;
    this._busy(true);
    let started = false;
    try {
      for await (const event of events) {
        if (signal.aborted) return true;
        started ||= event.event === "message.created";
        if (started && event.event === "message.created") this.told.asked();
        this.apply(view, event);
      }
    } catch (error) {
      if (signal.aborted) return true;
      view.fail(problem(error));
      announce(problem(error));
    }
    this._busy(false);
    this._mark();
    return started;
  }

  _cut(view, cut) {
    if (cut) view.steps.add("reconnecting");
    else view.steps.add("answering");
  }

  async _rate(view, rating) {
    const path = `/conversations/${this.conversation}/messages/${view.message.id}/feedback`;
    try {
      if (rating) await this.api.put(path, { rating });
      else await this.api.remove(path);
      view.set({ rating });
      announce(t(rating ? "rate.thanks" : "rate.taken"));
    } catch (error) {
      notify(problem(error), "error");
    }
  }

  _show(message) {
    if (message.role === "user") {
      this.list.append(questionNode(message.content));
    } else {
      const view = new AnswerView(this.acts);
      view.set(message);
      this.answers.set(message.id, view);
      this.list.append(view.node);
    }
    this._empty();
  }

  _mark() {
    const views = [...this.answers.values()];
    views.forEach((view, at) => view.setLast(at === views.length - 1 && !this.busy));
  }

  _busy(busy) {
    this.busy = busy;
    this.told.busy(busy);
  }

  _empty() {
    show(byId("welcome"), this.list.childElementCount === 0);
  }

  _bottom() {
    this.scroller.scrollTop = this.scroller.scrollHeight;
  }
}
