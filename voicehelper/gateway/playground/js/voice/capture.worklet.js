// Runs beside the page: the microphone's sound at the device's rate in, frames of 16 kHz PCM and their level out.
import { toPcm } from "./frames.js";
import { Resampler } from "./resample.js";

const RATE = 16000;
const FRAME = 512; // 32 ms: what the server's detector looks at at once

class Capture extends AudioWorkletProcessor {
  constructor() {
    super();
    this.resampler = new Resampler(sampleRate, RATE);
    this.frame = new Float32Array(FRAME);
    this.filled = 0;
  }

  process([input]) {
    if (!input.length) return true;
    const samples = this.resampler.feed(input.length === 1 ? input[0] : mixed(input));
    for (const sample of samples) {
      this.frame[this.filled++] = sample;
      if (this.filled === FRAME) this._send();
    }
    return true;
  }

  _send() {
    let power = 0;
    for (const sample of this.frame) power += sample * sample;
    const pcm = toPcm(this.frame);
    this.port.postMessage({ pcm, level: Math.sqrt(power / FRAME) }, [pcm.buffer]);
    this.filled = 0;
  }
}

function mixed(channels) {
  const out = new Float32Array(channels[0].length);
  for (const channel of channels) for (let at = 0; at < out.length; at++) out[at] += channel[at] / channels.length;
  return out;
}

registerProcessor("capture", Capture);
