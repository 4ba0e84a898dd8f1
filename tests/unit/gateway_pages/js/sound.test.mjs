// The page's arithmetic of sound.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";

// The page's modules carry no package.json beside them; node is told here that they are modules.
const folder = new URL("../../../../voicehelper/gateway/playground/js/", import.meta.url);
const load = (path) => import(`data:text/javascript,${encodeURIComponent(readFileSync(new URL(path, folder)))}`);
const { PlayBuffer } = await load("voice/playbuffer.js");
const { KeptInput } = await load("voice/kept.js");
const { Resampler } = await load("voice/resample.js");
const { parseSound, toFloat, toPcm } = await load("voice/frames.js");
const { SseParser } = await load("lib/sse.js");

const ramp = (from, count) => Float32Array.from({ length: count }, (_, at) => from + at);
const pull = (buffer, count = 100) => (buffer.pull(buffer.out = new Float32Array(count)), [...buffer.out]);
const playing = (samples = 1000) => {
  const buffer = new PlayBuffer(1000);
  buffer.push(0, ramp(1, samples));
  return buffer;
};

test("plays in order, counts what it played, is silent without sound", () => {
  const buffer = playing(250);
  assert.deepEqual(pull(buffer), [...ramp(1, 100)]);
  assert.equal(buffer.position, 100);
  pull(buffer);
  assert.deepEqual(pull(buffer).slice(50), new Array(50).fill(0));
  assert.equal(buffer.position, 250);
});

test("waits for a little sound before it begins, but not for long", () => {
  const buffer = new PlayBuffer(1000);
  buffer.push(0, ramp(1, 20));
  assert.equal(buffer.pull(new Float32Array(100)), false);
  assert.equal(buffer.pull(new Float32Array(100)), true);
});

test("held: one softer block, then nothing, then on from the same sample", () => {
  const buffer = playing();
  pull(buffer);
  buffer.hold(100);
  const fade = pull(buffer);
  assert.equal(fade[0], 101);
  assert.ok(fade[99] < 3);
  assert.deepEqual(pull(buffer), new Array(100).fill(0));
  assert.equal(buffer.position, 100);
  buffer.resume();
  pull(buffer);
  assert.equal(buffer.position, 200);
  assert.deepEqual(pull(buffer)[0], 201);
});

test("stopped: what was there is gone, the next sound is at its own place", () => {
  const buffer = playing();
  pull(buffer);
  buffer.stop(100);
  pull(buffer);
  assert.deepEqual(pull(buffer), new Array(100).fill(0));
  assert.equal(buffer.position, 100);
  buffer.push(5000, ramp(1, 200));
  assert.equal(pull(buffer)[99], 100);
  assert.equal(buffer.position, 5100);
});

test("the same sound again neither doubles nor moves anything", () => {
  const buffer = playing(300);
  pull(buffer);
  buffer.push(50, ramp(51, 400)); // sent again after a resume, from the last sample told
  assert.equal(buffer.position + buffer.buffered, 450);
  assert.deepEqual(pull(buffer), [...ramp(101, 100)]);
  buffer.push(0, ramp(1, 150));
  assert.equal(pull(buffer)[0], 201);
});

test("recorded sound is kept until it is dealt with", () => {
  const kept = new KeptInput();
  for (let at = 0; at < 10; at++) kept.push(new Int16Array(100).fill(at));
  kept.ack(450);
  assert.equal(kept.from(450)[0][0], 4);
  assert.equal(kept.from(450).reduce((sum, pcm) => sum + pcm.length, 0), 550);
  const all = kept.from(100); // what is gone is silence, so that places stay right
  assert.equal(all.reduce((sum, pcm) => sum + pcm.length, 0), 900);
  assert.equal(all[0][0], 0);
});

test("a minute is kept, no more", () => {
  const kept = new KeptInput();
  for (let at = 0; at < 70; at++) kept.push(new Int16Array(16000));
  assert.equal(kept.frames.reduce((sum, { pcm }) => sum + pcm.length, 0), 60 * 16000);
  assert.equal(kept.total, 70 * 16000);
});

for (const [from, to] of [[48000, 16000], [44100, 16000], [16000, 16000], [48000, 24000]]) {
  test(`${from} to ${to}: a tone stays, what would fold back goes, nothing is lost`, () => {
    const tone = (hertz) => {
      const resampler = new Resampler(from, to);
      const out = [];
      for (let at = 0; at < from; at += 128) {
        out.push(...resampler.feed(Float32Array.from({ length: 128 }, (_, n) => Math.sin((2 * Math.PI * hertz * (at + n)) / from))));
      }
      const middle = out.slice(to / 4, (to * 3) / 4);
      return { count: out.length, power: middle.reduce((sum, x) => sum + x * x, 0) / middle.length };
    };
    const kept = tone(1000);
    assert.ok(Math.abs(kept.count - (Math.ceil(from / 128) * 128 * to) / from) <= 1, `${kept.count}`);
    assert.ok(Math.abs(kept.power - 0.5) < 0.01, `${kept.power}`);
    if (to < from) assert.ok(tone(to * 0.6).power < 1e-4, "folds back");
  });
}

test("binary frames", () => {
  const data = new ArrayBuffer(16);
  const view = new DataView(data);
  view.setUint8(0, 1);
  view.setUint8(1, 3);
  view.setUint16(2, 258, true);
  view.setBigUint64(4, 123456789012n, true);
  view.setInt16(12, -32768, true);
  const frame = parseSound(data);
  assert.deepEqual({ ...frame, payload: [...toFloat(frame.payload)] }, { acknowledgement: true, opus: true, generation: 258, sample: 123456789012, payload: [-1, 0] });
  assert.equal(parseSound(new ArrayBuffer(4)), null);
  assert.equal(parseSound(new ArrayBuffer(12)), null);
  assert.deepEqual([...toPcm(Float32Array.of(-2, -1, 0, 0.5, 2))], [-32768, -32768, 0, 16384, 32767]);
});

test("events cut anywhere", () => {
  const text = ': keep-alive\n\nid: 1\nevent: delta\ndata: {"text": "好"}\n\nid: 2.1\nevent: status\ndata: {"stage":\ndata: "searching"}\n\n';
  for (let size = 1; size < 20; size++) {
    const parser = new SseParser();
    const found = [];
    for (let at = 0; at < text.length; at += size) found.push(...parser.feed(text.slice(at, at + size)));
    assert.deepEqual(found, [{ id: "1", event: "delta", data: { text: "好" } }, { id: "2.1", event: "status", data: { stage: "searching" } }]);
  }
});
