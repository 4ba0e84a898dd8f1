// Opus packets to samples, by the browser's own decoder where it has one.
import { Resampler } from "./resample.js";

const DECODED = 48000;
const PACKET_S = 0.02;

/** Whether this browser decodes single Opus packets. @returns {Promise<boolean>} */
export async function decodesOpus() {
  if (!window.AudioDecoder) return false;
  const support = await AudioDecoder.isConfigSupported({ codec: "opus", sampleRate: DECODED, numberOfChannels: 1 }).catch(() => null);
  return support?.supported === true;
}

export class OpusDecoder {
  /** @param {number} rate of the samples that are wanted @param {(sample: number, samples: Float32Array) => void} decoded */
  constructor(rate, decoded) {
    this.rate = rate;
    this.decoded = decoded;
    this.expected = -1;
  }

  /** @param {number} sample the packet's first, at the wanted rate @param {Uint8Array} packet */
  feed(sample, packet) {
    if (sample !== this.expected) this._begin(sample); // another place: nothing of before may sound on
    this.expected = sample + Math.round(this.rate * PACKET_S);
    this.decoder?.decode(new EncodedAudioChunk({ type: "key", timestamp: Math.round((sample / this.rate) * 1e6), data: packet }));
  }

  close() {
    if (this.decoder?.state === "configured") this.decoder.close();
  }

  /** @param {number} at */
  _begin(at) {
    this.close();
    const resampler = this.rate === DECODED ? null : new Resampler(DECODED, this.rate);
    const output = (/** @type {AudioData} */ data) => {
      const samples = new Float32Array(data.numberOfFrames);
      data.copyTo(samples, { planeIndex: 0, format: "f32-planar" });
      data.close();
      const out = resampler ? resampler.feed(samples) : samples;
      const from = at;
      at += out.length; // before it is given away: its memory goes to the worklet
      this.decoded(from, out);
    };
    this.decoder = new AudioDecoder({ output, error: () => (this.expected = -1) });
    this.decoder.configure({ codec: "opus", sampleRate: DECODED, numberOfChannels: 1 });
  }
}
