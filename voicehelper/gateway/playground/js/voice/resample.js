// Changing the sampling rate of a stream: a windowed sinc, so that nothing above half the new rate folds back.

const CROSSINGS = 12;
const STEPS = 256; // kernel values between two input samples
const PASS = 0.92; // of half the lower rate

export class Resampler {
  /** @param {number} from samples a second @param {number} to samples a second */
  constructor(from, to) {
    this.step = from / to;
    const cutoff = PASS * Math.min(1, to / from);
    this.reach = Math.ceil(CROSSINGS / cutoff);
    this.kernel = kernel(this.reach, cutoff);
    // Silence before the beginning, so much that every input gives its outputs at once: late by `reach` inputs.
    this.rest = new Float32Array(2 * this.reach);
    this.next = this.reach; // where the next output lies in `rest` and what follows it
  }

  /** @param {Float32Array} input the next samples @returns {Float32Array} what can be said of them already. */
  feed(input) {
    const all = new Float32Array(this.rest.length + input.length);
    all.set(this.rest);
    all.set(input, this.rest.length);
    const count = Math.max(0, Math.ceil((all.length - this.reach - this.next) / this.step));
    const out = new Float32Array(count);
    for (let at = 0; at < count; at++, this.next += this.step) out[at] = this._at(all, this.next);
    const used = Math.max(0, Math.min(Math.floor(this.next) - this.reach, all.length));
    this.rest = all.slice(used);
    this.next -= used;
    return out;
  }

  _at(all, place) {
    const first = Math.ceil(place - this.reach);
    const last = Math.floor(place + this.reach);
    let sum = 0;
    for (let at = Math.max(0, first); at <= last; at++) sum += all[at] * this.kernel[Math.round(Math.abs(at - place) * STEPS)];
    return sum;
  }
}

/** Half of a symmetric kernel: sinc under a Blackman window. */
function kernel(reach, cutoff) {
  const half = new Float32Array(reach * STEPS + 1);
  for (let at = 0; at < half.length; at++) {
    const x = at / STEPS;
    const window = 0.42 + 0.5 * Math.cos((Math.PI * x) / reach) + 0.08 * Math.cos((2 * Math.PI * x) / reach);
    half[at] = window * (x === 0 ? cutoff : Math.sin(Math.PI * cutoff * x) / (Math.PI * x));
  }
  return half;
}
