// A call: microphone, loudspeaker and socket put together. What it shows is up to its listener.
import { Link } from "./link.js";
import { Mic } from "./mic.js";
import { decodesOpus } from "./opus.js";
import { Player } from "./player.js";

const TELL_MS = 200;
const TALK_TAIL_MS = 120; // what is still on its way from the microphone when the button is let go

/**
 * @typedef {object} CallListener
 * @property {(state: string) => void} state of the session, or `connecting`
 * @property {(lost: boolean) => void} lost
 * @property {(message: any) => void} message any other message of the server
 * @property {(level: {input?: number, output?: number}) => void} level 0..1, for the eye
 * @property {(code: number, reason: string) => void} ended
 * @property {() => void} micLost
 */

export class Call {
  /**
   * @param {{token: () => Promise<string>, start: () => object, pushToTalk: boolean, listener: CallListener}} options
   *   `start`: the fields of `session.start` that are the page's affair.
   */
  constructor({ token, start, pushToTalk, listener }) {
    this.listener = listener;
    this.pushToTalk = pushToTalk;
    this.state = "connecting";
    this.muted = this.talking = this.over = false;
    this.encoding = "pcm16";
    this.mic = new Mic((pcm, level) => this._heard(pcm, level), () => listener.micLost());
    this.player = new Player((playing) => this._played(playing));
    this.link = new Link({
      token,
      start: () => ({ ...start(), ...this._formats(), turn_detection: { automatic: !this.pushToTalk } }),
      resume: () => ({ played: this.player.played, ...this._formats() }),
      message: (message) => this._message(message),
      sound: (frame) => this.player.frame(frame),
      lost: (lost) => listener.lost(lost),
      ended: (code, reason) => this._ended(code, reason),
    });
    this.wake = () => document.visibilityState === "visible" && this.player.wake();
    this.tellAt = 0;
    this.told = -1;
  }

  /** Begin. Call it from a user's gesture. Throws `MicError`. */
  async open() {
    try {
      await this.mic.open();
    } catch (error) {
      this.over = true;
      this.link.forget();
      throw error;
    }
    this._gate();
    if (await decodesOpus()) this.encoding = "opus";
    document.addEventListener("visibilitychange", this.wake);
    this.screen = await navigator.wakeLock?.request("screen").catch(() => undefined);
    if (!this.over) await this.link.connect();
  }

  /** Be silent. */
  interrupt() {
    this.player.hold();
    this.link.send({ type: "interrupt" });
  }

  /** @param {string} text a question by keyboard */
  type(text) {
    return this.link.send({ type: "text", text });
  }

  /** @param {boolean} muted */
  mute(muted) {
    this.muted = muted;
    this._gate();
  }

  /** Whether the user holds a button while he talks. @param {boolean} on */
  setPushToTalk(on) {
    this.pushToTalk = on;
    this.talking = false;
    this._gate();
    this.link.send({ type: "session.update", turn_detection: { automatic: !on } });
  }

  /** The button is held, or let go. @param {boolean} talking */
  talk(talking) {
    if (!this.pushToTalk || talking === this.talking) return;
    this.talking = talking;
    clearTimeout(this.committing);
    if (talking) {
      if (this.state === "speaking") this.interrupt();
      this._gate();
    } else {
      this.committing = setTimeout(() => (this._gate(), this.link.send({ type: "input.commit" })), TALK_TAIL_MS);
    }
  }

  close() {
    this.link.close();
  }

  _formats() {
    return { input: { encoding: "pcm16", sample_rate: 16000 }, output: { encoding: this.encoding } };
  }

  _gate() {
    this.mic.enable(!this.muted && (!this.pushToTalk || this.talking));
  }

  _heard(pcm, level) {
    this.link.sound(pcm);
    this.listener.level({ input: level });
  }

  _played({ after, level }) {
    this.listener.level({ output: level });
    const now = Date.now();
    const { played } = this.player;
    if (!after && (now < this.tellAt || played === this.told)) return;
    if (!this.link.send({ type: "played", sample: played })) return;
    this.tellAt = now + TELL_MS;
    this.told = played;
  }

  _message(message) {
    const act = this[`_on_${message.type.replace(".", "_")}`];
    if (act) act.call(this, message);
    this.listener.message(message);
  }

  _on_session_created({ output }) {
    this.player.open(output.sample_rate).catch(() => this.link.close());
    this._on_state({ state: "listening" });
  }

  _on_session_resumed({ generation }) {
    this.player.restart(generation);
    this.told = -1;
  }

  _on_state({ state }) {
    if (state === "speaking") this.player.resume();
    this.state = state;
    this.listener.state(state);
  }

  _on_audio_hold() {
    this.player.hold();
  }

  _on_audio_resume() {
    this.player.resume();
  }

  _on_audio_stop({ generation }) {
    this.player.stop(generation);
  }

  _on_session_closed({ reason, resumable }) {
    if (!resumable) this.link._end(1000, reason);
  }

  _ended(code, reason) {
    this.over = true;
    clearTimeout(this.committing);
    document.removeEventListener("visibilitychange", this.wake);
    this.screen?.release().catch(() => {});
    this.mic.close();
    this.player.close();
    this.listener.ended(code, reason);
  }
}
