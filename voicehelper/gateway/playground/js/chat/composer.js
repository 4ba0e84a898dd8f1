// Where the user writes.
import { byId, show } from "../lib/dom.js";

export class Composer {
  /** @param {{send: (text: string) => void, stop: () => void, call: () => void}} acts */
  constructor(acts) {
    this.acts = acts;
    this.field = byId("question");
    this.busy = false;
    byId("composer").addEventListener("submit", (event) => (event.preventDefault(), this._send()));
    byId("send").addEventListener("click", () => this._send());
    byId("stop").addEventListener("click", () => acts.stop());
    byId("call").addEventListener("click", () => acts.call());
    this.field.addEventListener("keydown", (event) => this._key(event));
    this.field.addEventListener("input", () => this._changed());
    this._changed();
  }

  /** An answer is being written. @param {boolean} busy */
  setBusy(busy) {
    this.busy = busy;
    show(byId("stop"), busy);
    show(byId("send"), !busy);
    this._changed();
  }

  /** @param {string} text */
  put(text) {
    this.field.value = text;
    this._changed();
    this.field.focus();
  }

  focus() {
    if (!matchMedia("(pointer: coarse)").matches) this.field.focus({ preventScroll: true });
  }

  _key(event) {
    // 229: a browser that does not say so while a Chinese input method chooses its characters
    if (event.key !== "Enter" || event.shiftKey || event.isComposing || event.keyCode === 229) return;
    event.preventDefault();
    this._send();
  }

  _send() {
    const text = this.field.value.trim();
    if (!text || this.busy) return;
    this.field.value = "";
    this._changed();
    this.acts.send(text);
  }

  _changed() {
    byId("send").disabled = this.busy || !this.field.value.trim();
    this.field.style.height = "auto";
    if (this.field.scrollHeight) this.field.style.height = `${this.field.scrollHeight}px`; // none while it is not shown
  }
}
