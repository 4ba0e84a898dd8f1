// What the microphone recorded and the server has not dealt with: sent once more when a connection is taken up again.

const LONGEST = 60 * 16000;

export class KeptInput {
  constructor() {
    /** @type {{start: number, pcm: Int16Array}[]} */
    this.frames = [];
    /** Samples recorded in all. */
    this.total = 0;
    this.size = 0;
  }

  /** @param {Int16Array} pcm */
  push(pcm) {
    this.frames.push({ start: this.total, pcm });
    this.total += pcm.length;
    this.size += pcm.length;
    while (this.size > LONGEST) this.size -= /** @type {any} */ (this.frames.shift()).pcm.length;
  }

  /** The server needs nothing before `sample`. @param {number} sample */
  ack(sample) {
    while (this.frames.length && this.frames[0].start + this.frames[0].pcm.length <= sample) {
      this.size -= /** @type {any} */ (this.frames.shift()).pcm.length;
    }
  }

  /** Frames from `sample` on. What is no longer there is silence, so that places stay right.
   * @param {number} sample @returns {Int16Array[]} */
  from(sample) {
    const out = [];
    const first = this.frames.length ? this.frames[0].start : this.total;
    for (let at = sample; at < first; at += 3200) out.push(new Int16Array(Math.min(3200, first - at)));
    for (const { start, pcm } of this.frames) {
      if (start + pcm.length > sample) out.push(start < sample ? pcm.subarray(sample - start) : pcm);
    }
    return out;
  }
}
