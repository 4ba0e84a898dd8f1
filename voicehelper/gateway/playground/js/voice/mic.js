// The microphone: echo and noise taken out by the browser, 16 kHz PCM out.

/** Why there is no microphone: `insecure`, `denied`, `none`, `taken`, `unsupported`, `failed`. */
export class MicError extends Error {
  /** @param {string} why */
  constructor(why) {
    super(why);
    this.why = why;
  }
}

const WHY = { NotAllowedError: "denied", SecurityError: "denied", NotFoundError: "none", OverconstrainedError: "none", NotReadableError: "taken", AbortError: "taken" };

export class Mic {
  /** @param {(pcm: Int16Array, level: number) => void} heard @param {() => void} lost the device went away */
  constructor(heard, lost) {
    this.heard = heard;
    this.lost = lost;
  }

  /** Ask for the microphone and begin. Call it from a user's gesture. Throws `MicError`. */
  async open() {
    if (!window.isSecureContext) throw new MicError("insecure");
    if (!navigator.mediaDevices?.getUserMedia || !window.AudioWorkletNode) throw new MicError("unsupported");
    this.context = new AudioContext({ latencyHint: "interactive" });
    try {
      this.stream = await navigator.mediaDevices.getUserMedia({ audio: { echoCancellation: true, noiseSuppression: true, autoGainControl: true, channelCount: 1 } });
      await this.context.audioWorklet.addModule(new URL("./capture.worklet.js", import.meta.url));
      await this.context.resume();
    } catch (error) {
      this.close();
      throw new MicError(WHY[/** @type {any} */ (error).name] ?? "failed");
    }
    const node = new AudioWorkletNode(this.context, "capture", { numberOfOutputs: 0 });
    node.port.onmessage = ({ data }) => this.heard(data.pcm, data.level);
    this.context.createMediaStreamSource(this.stream).connect(node);
    for (const track of this.stream.getTracks()) track.onended = () => this.lost();
  }

  /** Off: silence is recorded instead, so that time goes on. @param {boolean} on */
  enable(on) {
    for (const track of this.stream?.getTracks() ?? []) track.enabled = on;
  }

  close() {
    for (const track of this.stream?.getTracks() ?? []) {
      track.onended = null;
      track.stop();
    }
    this.context?.close().catch(() => {});
    this.stream = this.context = undefined;
  }
}
