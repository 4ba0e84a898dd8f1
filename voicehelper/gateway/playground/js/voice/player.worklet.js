// Runs beside the page: plays a PlayBuffer, tells where it is. A hold or stop is heard within one block (128 samples).
import { PlayBuffer } from "./playbuffer.js";

const BLOCK = 128;
const TELL_EVERY = 8; // blocks: 43 ms at 24 kHz

class Player extends AudioWorkletProcessor {
  constructor() {
    super();
    this.buffer = new PlayBuffer(sampleRate);
    this.blocks = 0;
    this.level = 0;
    this.port.onmessage = ({ data }) => this._do(data);
  }

  _do({ act, sample, samples }) {
    if (act === "push") this.buffer.push(sample, samples);
    else if (act === "resume") this.buffer.resume();
    else {
      if (act === "hold") this.buffer.hold(BLOCK);
      else if (act === "stop") this.buffer.stop(BLOCK);
      this._tell(act);
    }
  }

  process(_inputs, [[out]]) {
    const sounding = this.buffer.pull(out);
    for (const sample of out) this.level = Math.max(this.level, Math.abs(sample));
    if (sounding !== this.sounding || ++this.blocks >= TELL_EVERY) {
      this.sounding = sounding;
      this._tell("");
    }
    return true;
  }

  _tell(after) {
    const { position, buffered } = this.buffer;
    this.port.postMessage({ after, position, buffered, sounding: this.sounding, level: this.level });
    this.blocks = this.level = 0;
  }
}

registerProcessor("player", Player);
