// The binary frames of /ws/voice.

const HEADER = 12;
const ACKNOWLEDGEMENT = 1;
const OPUS = 2;

/** @typedef {{acknowledgement: boolean, opus: boolean, generation: number, sample: number, payload: Uint8Array}} SoundFrame */

/** @param {ArrayBuffer} data @returns {SoundFrame|null} null for a kind we do not know. */
export function parseSound(data) {
  if (data.byteLength < HEADER) return null;
  const view = new DataView(data);
  if (view.getUint8(0) !== 1) return null;
  const flags = view.getUint8(1);
  return {
    acknowledgement: (flags & ACKNOWLEDGEMENT) !== 0,
    opus: (flags & OPUS) !== 0,
    generation: view.getUint16(2, true),
    sample: Number(view.getBigUint64(4, true)),
    payload: new Uint8Array(data, HEADER),
  };
}

/** Signed 16 bit, little-endian, to -1..1. @param {Uint8Array} bytes */
export function toFloat(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength & ~1);
  const out = new Float32Array(view.byteLength / 2);
  for (let at = 0; at < out.length; at++) out[at] = view.getInt16(at * 2, true) / 32768;
  return out;
}

/** @param {Float32Array} samples -1..1 @returns {Int16Array} */
export function toPcm(samples) {
  const out = new Int16Array(samples.length);
  for (let at = 0; at < samples.length; at++) out[at] = Math.max(-32768, Math.min(32767, Math.round(samples[at] * 32768)));
  return out;
}
