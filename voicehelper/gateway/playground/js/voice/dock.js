// The controls of a call, and its turns in the thread.
import { ApiError, problem } from "../lib/api.js";
import { announce, notify } from "../lib/dialogs.js";
import { byId, el, fill, show } from "../lib/dom.js";
import { t } from "../lib/i18n.js";
import { Call } from "./call.js";
import { MicError } from "./mic.js";
import { Turns } from "./turns.js";

const KEPT = "voicehelper.pushToTalk";

/** What the user can do now. @param {string} state @param {boolean|undefined} push */
function hint(state, push) {
  if (state === "listening" && push) return "hint.push";
  if (state !== "speaking") return `hint.${state}`;
  if (push) return "hint.speaking.push";
  return matchMedia("(pointer: coarse)").matches ? "hint.speaking.touch" : "hint.speaking";
}

export class Dock {
  /**
   * @param {{token: () => Promise<string>, thread: import("../chat/thread.js").Thread, start: () => object,
   *   created: (conversation: string) => void, changed: (on: boolean) => void}} wired
   */
  constructor(wired) {
    this.wired = wired;
    this.node = byId("dock");
    this.orb = byId("orb");
    this.stateNode = byId("dock-state");
    this.hint = byId("dock-hint");
    this.lost = byId("dock-lost");
    this.talkButton = byId("dock-talk");
    /** @type {Call|null} */
    this.call = null;
    byId("dock-interrupt").addEventListener("click", () => this.interrupt());
    byId("dock-end").addEventListener("click", () => this.call?.close());
    byId("dock-mute").addEventListener("click", () => this._mute(!this.call?.muted));
    byId("dock-push").checked = localStorage.getItem(KEPT) === "1";
    byId("dock-push").addEventListener("change", (event) => this._push(event.target.checked));
    this._holdable();
    document.addEventListener("keydown", (event) => this._key(event, true));
    document.addEventListener("keyup", (event) => this._key(event, false));
  }

  /** Begin a call. Call it from a user's gesture. */
  async open() {
    if (this.call) return;
    const call = (this.call = new Call({ token: this.wired.token, start: this.wired.start, pushToTalk: byId("dock-push").checked, listener: this._listener() }));
    this.turns = new Turns(this.wired.thread);
    this.wired.changed(true);
    show(this.node, true);
    show(this.lost, false);
    this._state("connecting");
    this._mute(false);
    this._push(call.pushToTalk);
    byId("dock-end").focus({ preventScroll: true });
    try {
      await call.open();
    } catch (error) {
      this._closed(); // without a microphone there was no connection yet
      notify(error instanceof MicError ? t(`mic.${error.why}`) : problem(error), "error");
    }
  }

  get on() {
    return this.call !== null;
  }

  close() {
    this.call?.close();
  }

  interrupt() {
    if (this.call?.state === "speaking") this.call.interrupt();
  }

  /** @param {string} text typed during the call @returns {boolean} whether it was sent. */
  type(text) {
    return this.call?.type(text) ?? false;
  }

  /** @returns {import("./call.js").CallListener} */
  _listener() {
    return {
      state: (state) => this._state(state),
      lost: (lost) => this._lost(lost),
      message: (message) => this._message(message),
      level: (level) => this._level(level),
      ended: (code, reason) => this._ended(code, reason),
      micLost: () => notify(t("mic.lost"), "error"),
    };
  }

  _message(message) {
    if (message.type === "session.created") {
      this.wired.created(message.conversation_id);
      announce(t("call.begun"));
    } else if (message.type === "error") {
      notify(problem(new ApiError(Math.floor(message.code / 100), message)), "error");
    }
    this.turns?.message(message);
  }

  _state(state) {
    this.state = state;
    this.node.dataset.state = state;
    const push = this.call?.pushToTalk;
    fill(this.stateNode, el("span", { t: `state.${state}` }));
    fill(this.hint, el("span", { t: hint(state, push) }));
    byId("dock-interrupt").disabled = state !== "speaking";
  }

  _lost(lost) {
    show(this.lost, lost);
    this.node.classList.toggle("lost", lost);
    announce(t(lost ? "call.lost" : "call.back"));
  }

  _level({ input, output }) {
    const spoken = input !== undefined ? Math.min(1, Math.sqrt(input) * 2.2) : undefined;
    if (spoken !== undefined) this.node.style.setProperty("--input", (this.call?.muted ? 0 : spoken).toFixed(3));
    if (output !== undefined) this.node.style.setProperty("--output", Math.min(1, output * 1.4).toFixed(3));
  }

  _mute(muted) {
    this.call?.mute(muted);
    const button = byId("dock-mute");
    button.setAttribute("aria-pressed", String(muted));
    this.node.classList.toggle("muted", muted);
  }

  _push(on) {
    localStorage.setItem(KEPT, on ? "1" : "0");
    this.call?.setPushToTalk(on);
    this.node.classList.toggle("push", on);
    show(this.talkButton, on);
    show(byId("dock-mute"), !on);
    if (this.state) this._state(this.state);
  }

  _talk(talking) {
    this.talkButton.classList.toggle("held", talking);
    this.talkButton.setAttribute("aria-pressed", String(talking));
    this.call?.talk(talking);
  }

  _holdable() {
    const button = this.talkButton;
    button.addEventListener("pointerdown", (event) => (button.setPointerCapture(event.pointerId), this._talk(true)));
    for (const name of ["pointerup", "pointercancel", "blur"]) button.addEventListener(name, () => this._talk(false));
    button.addEventListener("contextmenu", (event) => event.preventDefault());
  }

  /** Space: interrupt, or hold to talk. Escape: interrupt. Not while typing, nor where the key has another meaning. */
  _key(event, down) {
    if (!this.call || event.isComposing || document.querySelector("dialog:modal")) return;
    const at = event.target instanceof Element ? event.target : document.body;
    if (event.key === "Escape" && down && !event.defaultPrevented) return this.interrupt();
    if (event.key !== " " || event.ctrlKey || event.altKey || event.metaKey) return;
    const free = at === this.talkButton || !at.closest("button, a, input, textarea, select, summary, [contenteditable]");
    if (!free) return;
    event.preventDefault();
    if (this.call.pushToTalk) !event.repeat && this._talk(down);
    else if (down && !event.repeat) this.interrupt();
  }

  _ended(code, reason) {
    this._closed();
    const known = { 1000: `ended.${reason}`, 1006: "ended.lost", 1008: "ended.fast", 4401: "ended.login", 4403: "ended.forbidden", 4404: "ended.gone", 4409: "ended.taken", 4429: "ended.busy", 4503: "ended.unavailable" };
    const text = t(known[code] ?? "ended.other", { code, reason });
    if (code === 1000 && reason === "client") announce(t("ended.client"));
    else notify(text.startsWith("ended.") ? t("ended.other", { code, reason }) : text, "error");
  }

  _closed() {
    this.turns?.close();
    this.call = null;
    show(this.node, false);
    this.wired.changed(false);
  }
}
