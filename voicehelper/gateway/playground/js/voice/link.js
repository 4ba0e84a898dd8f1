// The socket of a call. When it breaks, the session is taken up again on a new one; nothing said is lost.
import { KeptInput } from "./kept.js";
import { parseSound } from "./frames.js";

const PAUSES_MS = [0, 250, 500, 1000, 2000, 3000];
const PING_MS = 4000;
const SILENT_MS = 9000;
const STALLED_BYTES = 512 * 1024;
/** Close codes after which the session can be taken up again: gone, broken, restarting, too slow; 4500 and
 * over are the server's own troubles. */
const PASSING = new Set([1001, 1005, 1006, 1011, 1012, 1013, 1014]);
const SERVER_TROUBLE = 4500;

/**
 * @typedef {object} LinkActs
 * @property {() => Promise<string>} token a good access token
 * @property {() => object} start the first message of a new session
 * @property {() => object} resume the rest of `session.resume`
 * @property {(message: any) => void} message
 * @property {(frame: import("./frames.js").SoundFrame) => void} sound
 * @property {(lost: boolean) => void} lost the connection broke, or is back
 * @property {(code: number, reason: string) => void} ended for good
 */

export class Link {
  /** @param {LinkActs} acts */
  constructor(acts) {
    this.acts = acts;
    this.kept = new KeptInput();
    this.resumeToken = "";
    this.resumeMs = 30_000;
    this.lostAt = 0;
    this.attempt = 0;
    this.live = false;
    this.over = false;
    this.network = () => navigator.onLine && this.lostAt && this._retry(0);
    addEventListener("online", this.network);
  }

  async connect() {
    let token;
    try {
      token = await this.acts.token();
    } catch {
      return this.resumeToken ? this._lost(1006) : this._end(4401, "");
    }
    if (this.over) return;
    const url = new URL("/ws/voice", location.href);
    url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
    const socket = new WebSocket(url, ["voicehelper", `bearer.${token}`]);
    socket.binaryType = "arraybuffer";
    this.socket = socket;
    const current = (act) => (event) => this.socket === socket && act(event);
    socket.onopen = current(() => this._opened());
    socket.onmessage = current(({ data }) => this._received(data));
    socket.onclose = current(({ code, reason }) => this._lost(code, reason));
  }

  /** @param {object} message dropped while there is no connection: what counts is sent again after a resume. */
  send(message) {
    if (this.live) this.socket?.send(JSON.stringify(message));
    return this.live;
  }

  /** The microphone's sound. @param {Int16Array} pcm */
  sound(pcm) {
    this.kept.push(pcm);
    if (!this.live) return;
    if (this.socket.bufferedAmount > STALLED_BYTES) this._lost(1006);
    else this.socket.send(pcm);
  }

  /** Hang up. */
  close() {
    this.send({ type: "session.close" });
    this._end(1000, "client");
  }

  _opened() {
    this.heardAt = Date.now();
    this.pinging = setInterval(() => this._ping(), PING_MS);
    const first = this.resumeToken
      ? { type: "session.resume", resume_token: this.resumeToken, ...this.acts.resume() }
      : { type: "session.start", ...this.acts.start() };
    this.socket?.send(JSON.stringify(first));
  }

  _ping() {
    if (Date.now() - this.heardAt > SILENT_MS) this._lost(1006);
    else this.send({ type: "ping" });
  }

  _received(data) {
    this.heardAt = Date.now();
    if (typeof data !== "string") {
      const frame = parseSound(data);
      if (frame) this.acts.sound(frame);
      return;
    }
    const message = JSON.parse(data);
    if (message.type === "session.created" || message.type === "session.resumed") this._begun(message);
    else if (message.type === "input.ack") this.kept.ack(message.sample);
    this.acts.message(message);
  }

  _begun(message) {
    this.resumeToken = message.resume_token;
    this.resumeMs = message.resume_s * 1000;
    this.live = true;
    this.attempt = 0;
    for (const pcm of this.kept.from(message.input_from ?? 0)) this.socket?.send(pcm);
    if (this.lostAt) this.acts.lost(false);
    this.lostAt = 0;
  }

  _lost(code, reason = "") {
    this._drop();
    if (this.over) return;
    const expired = code === 4401 && this.attempt < 2; // the token ended while we were away: a new one is asked for
    if (!this.resumeToken || !(PASSING.has(code) || code >= SERVER_TROUBLE || expired)) return this._end(code, reason);
    if (!this.lostAt) {
      this.lostAt = Date.now();
      this.acts.lost(true);
    }
    this._retry(PAUSES_MS[Math.min(this.attempt++, PAUSES_MS.length - 1)]);
  }

  _retry(pause) {
    clearTimeout(this.retrying);
    if (Date.now() - this.lostAt + pause > this.resumeMs) return this._end(1006, "lost");
    this.retrying = setTimeout(() => (this._drop(), this.connect()), pause);
  }

  _drop() {
    clearInterval(this.pinging);
    this.live = false;
    const socket = this.socket;
    this.socket = undefined;
    if (socket && socket.readyState < 2) socket.close();
  }

  /** Let go of everything, telling nobody. */
  forget() {
    this.over = true;
    clearTimeout(this.retrying);
    removeEventListener("online", this.network);
    this._drop();
  }

  _end(code, reason) {
    if (this.over) return;
    this.forget();
    this.acts.ended(code, reason);
  }
}
