// The loudspeaker: sound by its place in the session, from the socket to the worklet.
import { toFloat } from "./frames.js";
import { OpusDecoder } from "./opus.js";

/** @typedef {{after: string, position: number, buffered: number, sounding: boolean, level: number}} Playing */

export class Player {
  /** @param {(state: Playing) => void} told about 20 times a second, and at once after a hold or stop */
  constructor(told) {
    this.told = told;
    this.generation = 0;
    this.position = 0;
    /** @type {any[]} */
    this.waiting = [];
  }

  /** Make the sound system ready; sound that comes meanwhile waits. The user has made his gesture by then, and the
   * microphone is on, so that no browser mutes it. @param {number} rate samples a second */
  async open(rate) {
    this.rate = rate;
    this.context = new AudioContext({ sampleRate: rate, latencyHint: "interactive" });
    this.opus = new OpusDecoder(rate, (sample, samples) => this._push(sample, samples));
    await this.context.audioWorklet.addModule(new URL("./player.worklet.js", import.meta.url));
    await this.context.resume();
    this.node = new AudioWorkletNode(this.context, "player", { numberOfInputs: 0, outputChannelCount: [1] });
    this.node.connect(this.context.destination);
    this.node.port.onmessage = ({ data }) => {
      this.position = data.position;
      this.sounding = data.sounding;
      this.told(data);
    };
    for (const message of this.waiting.splice(0)) this._post(message);
  }

  /** What has left the loudspeaker: the position, less what the system still holds. */
  get played() {
    const late = this.context?.outputLatency ?? 0;
    return Math.max(0, Math.round(this.position - (this.sounding ? late * (this.rate ?? 0) : 0)));
  }

  /** After a resume. What is buffered plays on until the same sound comes again and replaces it, unless that is another.
   * @param {number} generation */
  restart(generation) {
    if (generation !== this.generation) this.stop(generation);
  }

  /** @param {import("./frames.js").SoundFrame} frame one of an earlier generation is thrown away. */
  frame(frame) {
    if (frame.generation !== this.generation % 65536) return;
    if (frame.opus) this.opus?.feed(frame.sample, frame.payload);
    else this._push(frame.sample, toFloat(frame.payload));
  }

  hold() {
    this._post({ act: "hold" });
  }

  resume() {
    this._post({ act: "resume" });
  }

  /** @param {number} generation of the sound that comes next */
  stop(generation) {
    this.generation = generation;
    this.opus?.close();
    if (this.opus) this.opus.expected = -1;
    this._post({ act: "stop" });
  }

  /** The browser put the sound to sleep (a telephone call, another app): wake it. */
  wake() {
    this.context?.resume().catch(() => {});
  }

  close() {
    this.opus?.close();
    this.context?.close().catch(() => {});
    this.context = this.node = this.opus = undefined;
  }

  _push(sample, samples) {
    this._post({ act: "push", sample, samples });
  }

  _post(message) {
    if (!this.node) this.waiting.push(message);
    else this.node.port.postMessage(message, message.samples ? [message.samples.buffer] : []);
  }
}
