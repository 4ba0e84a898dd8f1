// What is to be played, by its place in the session's sound.

/** Sound gathered before playing (again), and the longest wait for it, in seconds. */
const LEAD_S = 0.06;
const WAIT_S = 0.12;

export class PlayBuffer {
  /** @param {number} rate samples a second */
  constructor(rate) {
    this.rate = rate;
    /** Everything before this sample was played. */
    this.position = 0;
    /** @type {{sample: number, samples: Float32Array}[]} */
    this.queue = [];
    this.held = false;
    this.playing = false;
    this.waited = 0;
    /** @type {Float32Array|null} what sounds on for one block after a hold or stop, ever softer */
    this.tail = null;
    this.rising = false;
  }

  /** Samples that are there and not played. */
  get buffered() {
    const last = this.queue.at(-1);
    return last ? last.sample + last.samples.length - Math.max(this.position, this.queue[0].sample) : 0;
  }

  /** Sound beginning at `sample`. What is there of the same place or later is replaced; what was played is left out.
   * @param {number} sample @param {Float32Array} samples */
  push(sample, samples) {
    if (sample + samples.length <= this.position) return;
    if (sample < this.position) {
      samples = samples.subarray(this.position - sample);
      sample = this.position;
    }
    for (let last = this.queue.at(-1); last && last.sample + last.samples.length > sample; last = this.queue.at(-1)) {
      if (last.sample < sample) {
        last.samples = last.samples.subarray(0, sample - last.sample);
        break;
      }
      this.queue.pop();
    }
    this.queue.push({ sample, samples });
  }

  /** Be silent at once, keep what is there. @param {number} block samples of the next block */
  hold(block) {
    if (this.held) return;
    this._fade(block);
    this.held = true;
  }

  resume() {
    this.held = false;
    this.rising = true;
  }

  /** Be silent at once, drop what is there. @param {number} block samples of the next block */
  stop(block) {
    if (!this.held) this._fade(block);
    this.queue = [];
    this.held = this.playing = false;
    this.waited = 0;
  }

  /** The next block. @param {Float32Array} out filled @returns {boolean} whether any of it is sound. */
  pull(out) {
    out.fill(0);
    if (this.tail) {
      for (let at = 0; at < Math.min(out.length, this.tail.length); at++) out[at] = this.tail[at] * (1 - at / this.tail.length);
      this.tail = null;
      return true;
    }
    if (this.held || !this._ready(out.length)) return false;
    const filled = this._take(out);
    if (this.rising) for (let at = 0; at < out.length; at++) out[at] *= at / out.length;
    this.rising = false;
    if (filled < out.length) {
      this.playing = false;
      this.rising = true;
    }
    return filled > 0;
  }

  _ready(block) {
    if (this.playing) return true;
    if (!this.queue.length) return false;
    this.waited += block;
    this.playing = this.buffered >= LEAD_S * this.rate || this.waited >= WAIT_S * this.rate;
    if (this.playing) this.waited = 0;
    return this.playing;
  }

  _take(out) {
    let filled = 0;
    while (filled < out.length && this.queue.length) {
      const head = this.queue[0];
      if (head.sample > this.position) this.position = head.sample; // nothing lies in between
      const from = this.position - head.sample;
      const count = Math.min(out.length - filled, head.samples.length - from);
      out.set(head.samples.subarray(from, from + count), filled);
      filled += count;
      this.position += count;
      if (from + count >= head.samples.length) this.queue.shift();
    }
    return filled;
  }

  /** Takes a copy of the next block, but not its place: it is heard so softly that it is played again. */
  _fade(block) {
    if (!this.playing || !this.queue.length) return;
    const before = { position: this.position, queue: this.queue.map((each) => ({ ...each })) };
    const tail = new Float32Array(block);
    this._take(tail);
    ({ position: this.position, queue: this.queue } = before);
    this.tail = tail;
  }
}
