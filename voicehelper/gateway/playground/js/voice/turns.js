// Spoken turns in the thread: what is being said, what was understood, the answer, its times.
import { el, fill } from "../lib/dom.js";
import { announce } from "../lib/dialogs.js";
import { strip } from "./strip.js";

/** @typedef {{question: HTMLElement|null, answer: import("../chat/message.js").AnswerView|null, seen: number[], last: boolean}} Turn */

const NAMES = { "answer.started": "message.created", "answer.status": "status", "answer.delta": "delta", "answer.citation": "citation", "answer.completed": "message.completed" };

export class Turns {
  /** @param {import("../chat/thread.js").Thread} thread */
  constructor(thread) {
    this.thread = thread;
    /** @type {Map<number, Turn>} */
    this.turns = new Map();
    /** @type {HTMLElement|null} what is being said now */
    this.pending = null;
  }

  /** @param {any} message of the server */
  message(message) {
    const { type } = message;
    if (type === "transcript.partial") this._partial(message);
    else if (type === "transcript.final") this._final(message);
    else if (type === "turn.dropped") this._drop();
    else if (NAMES[type]) this._answer(message);
    else if (type === "answer.cut") this._cut(message);
    else if (type === "audio.stop" && message.reason === "superseded") this._remove(message.turn);
    else if (type === "latency") this._turn(message.turn).answer?.strip.replaceChildren(strip(message));
    else if (type === "error" && message.turn) this._turn(message.turn).answer?.fail(message.message);
  }

  /** The call is over. */
  close() {
    this._drop();
    for (const { answer } of this.turns.values()) answer?.steps.end();
  }

  _partial({ text, stable }) {
    if (!this.pending) {
      this.pending = this.thread.addQuestion("", true);
      this.pending.classList.add("pending");
      this.pending.setAttribute("aria-hidden", "true"); // read out when it is sure
    }
    const bubble = /** @type {HTMLElement} */ (this.pending.querySelector(".bubble > span"));
    const characters = Array.from(text);
    fill(bubble, el("span", { class: "stable" }, characters.slice(0, stable).join("")), el("span", { class: "unstable" }, characters.slice(stable).join("")));
  }

  _final({ turn: number, text, replaces }) {
    const turn = this._turn(number);
    if (turn.question) return; // told again after a resume
    this._drop();
    if (replaces) this._remove(replaces);
    turn.question = this.thread.addQuestion(text, true);
    announce(text);
  }

  _answer(message) {
    const turn = this._turn(message.turn);
    if (!newer(message.id, turn)) return;
    if (!turn.answer) {
      if (!turn.question) turn.question = this.thread.addQuestion(message.question?.content ?? "");
      turn.answer = this.thread.addAnswer();
    }
    const data = message.type === "answer.citation" ? message.citation : message;
    this.thread.apply(turn.answer, { event: NAMES[message.type], data });
    if (message.type === "answer.started") this.thread.told.asked(); // the conversation may have its title now
  }

  _cut({ turn: number, chars }) {
    const { answer } = this._turn(number);
    if (!answer) return;
    const heard = Array.from(answer.message.content).slice(0, chars).join("");
    const citations = answer.message.citations.filter((citation) => citation.end <= chars);
    answer.set({ content: heard, citations, status: "stopped", metadata: { ...answer.message.metadata, heard: chars } });
  }

  _drop() {
    this.pending?.remove();
    this.pending = null;
    this.thread._empty();
  }

  _remove(number) {
    const turn = this.turns.get(number);
    turn?.question?.remove();
    turn?.answer?.node.remove();
    this.turns.delete(number);
  }

  _turn(number) {
    const turn = this.turns.get(number) ?? { question: null, answer: null, seen: [0, 0], last: false };
    this.turns.set(number, turn);
    return turn;
  }
}

/** Whether an event of the answer was not seen: ids are `1`, `2` ..., of further attempts `2.1`, `2.2` ...
 * @param {string} id @param {Turn} turn */
function newer(id, turn) {
  const parts = id.split(".").map(Number);
  const place = parts.length === 1 ? [1, parts[0]] : parts;
  const [attempt, count] = turn.seen;
  if (place[0] < attempt || (place[0] === attempt && place[1] <= count)) return false;
  turn.seen = place;
  return true;
}
