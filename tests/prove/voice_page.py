"""A call on the page of a running instance, in a real browser whose microphone hears a recording: asks, hears the
answer (what was played is written down again), interrupts it with another question, hears that answer.

`python -m tests.prove.voice_page HOME` does it with the instance of that home.
"""

import asyncio
import io
import json
import shutil
import sys
import tempfile
import wave
from array import array
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import httpx

QUESTION = "请问运费怎么计算"
SECOND = "那么运费是怎么计算的呢"
WORDS = ("公斤", "金额", "地区", "免费", "配送")
INPUT_RATE, OUTPUT_RATE = 16_000, 24_000
LEAD_S, BETWEEN_S = 2.0, 6.0
LOUD = 600

# Notes what the page sends, gets and plays, each with its time. The last two by a tap before the loudspeaker.
NOTES = """
window.notes = { heard: [], told: [], played: [] };
const connect = AudioNode.prototype.connect;
AudioNode.prototype.connect = function (to, ...more) {
  if (to !== this.context.destination || this instanceof ScriptProcessorNode) return connect.call(this, to, ...more);
  const tap = this.context.createScriptProcessor(512, 1, 1);
  tap.onaudioprocess = ({ inputBuffer, outputBuffer }) => {
    const block = inputBuffer.getChannelData(0);
    window.notes.played.push([performance.now(), Array.from(block, (x) => Math.round(x * 32767))]);
    outputBuffer.getChannelData(0).set(block); };
  connect.call(this, tap); connect.call(tap, to); return to; };
const Socket = WebSocket;
window.WebSocket = class extends Socket {
  constructor(...all) { super(...all); this.addEventListener('message', ({ data }) => typeof data === 'string'
    && window.notes.told.push([performance.now(), JSON.parse(data)]));
    this.addEventListener('close', ({ code, reason }) =>
      window.notes.told.push([performance.now(), { type: 'closed', state: `${code} ${reason}` }])); }
  send(data) { if (typeof data !== 'string') { let peak = 0;
    for (const sample of new Int16Array(data.buffer ?? data)) peak = Math.max(peak, Math.abs(sample));
    window.notes.heard.push([performance.now(), peak]); } super.send(data); } };
"""
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
)


class Instance(Protocol):
    """What is called: `voice_server.VoiceCluster`, or `Running`."""

    home: Path

    @property
    def url(self) -> str: ...

    def api(self) -> httpx.Client: ...

    def speech(self, text: str) -> bytes: ...


@dataclass
class Running:
    """An instance that somebody else started."""

    home: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{json.loads((self.home / 'run' / 'ports.json').read_text())['http']}"

    def api(self) -> httpx.Client:
        admin = json.loads((self.home / "keys" / "admin.json").read_text())
        tokens = httpx.post(f"{self.url}/api/v1/auth/login", json=admin, timeout=30).raise_for_status().json()
        headers = {"Authorization": f"Bearer {tokens['access_token']}"}
        return httpx.Client(base_url=self.url, timeout=180, headers=headers)

    def speech(self, text: str) -> bytes:
        from voicehelper.voice.resample import resample

        with self.api() as api:
            body = {"model": "tts-1", "input": text, "voice": "alloy", "response_format": "pcm"}
            return resample(api.post("/v1/audio/speech", json=body).raise_for_status().content, 24_000, INPUT_RATE)


def missing() -> str:
    """Why there is no browser here; empty if there is one."""
    if shutil.which("chromium") is None:
        return "chromium is not installed"
    try:
        import playwright.async_api  # noqa: F401 - is it there?
    except ImportError:
        return "playwright is not installed"
    return ""


def converse(instance: Instance, shots: Path | None = None) -> tuple[str, bool]:
    """The figures, and whether all of it happened. With `shots`, pictures of each state go there."""
    return asyncio.run(_converse(instance, shots))


async def _converse(instance: Instance, shots: Path | None) -> tuple[str, bool]:
    from playwright.async_api import async_playwright

    first, second = [await asyncio.to_thread(instance.speech, text) for text in (QUESTION, SECOND)]
    with tempfile.TemporaryDirectory(prefix="vh-page-") as folder:
        recording = Path(folder) / "said.wav"
        recording.write_bytes(_wav(_silence(LEAD_S) + first + _silence(BETWEEN_S) + second + _silence(60), INPUT_RATE))
        async with async_playwright() as playwright:
            flags = [*FLAGS, f"--use-file-for-fake-audio-capture={recording}%noloop"]
            browser = await playwright.chromium.launch(executable_path=shutil.which("chromium"), args=flags)
            page = await browser.new_page(locale="zh-CN", viewport={"width": 1280, "height": 800})
            try:
                notes = await _Visit(page, instance, shots).run()
            except Exception as error:
                if shots is not None:
                    await page.screenshot(path=str(shots / "real-failed.png"))
                told = await page.evaluate(
                    "window.notes.told.map(([, event]) => event.type + ' ' + (event.state ?? ''))"
                )
                raise AssertionError(f"{error}; told {told[-25:]}") from error
            finally:
                await browser.close()
    return await asyncio.to_thread(_judge, instance, notes, shots)


class _Visit:
    def __init__(self, page: Any, instance: Instance, shots: Path | None) -> None:
        self.page, self.instance, self.shots = page, instance, shots

    async def run(self) -> dict[str, Any]:
        """Until the second answer has been said. Returns the page's notes."""
        page = self.page
        await page.add_init_script(NOTES)
        await page.goto(f"{self.instance.url}/playground")
        admin = json.loads((self.instance.home / "keys" / "admin.json").read_text())
        await page.fill("#email", admin["email"])
        await page.fill("#password", admin["password"])
        await page.click("#login-go")
        await page.click("#call", timeout=15_000)
        for state in ("listening", "user_speaking", "thinking", "speaking"):
            await page.wait_for_selector(f"#dock[data-state={state}]", timeout=60_000)
            await self._shot(f"real-{state}")
        await page.wait_for_selector(".answer .answer-state", timeout=60_000)
        await self._shot("real-interrupted")
        await page.wait_for_selector(".question:not(.pending) >> nth=1", timeout=60_000)
        await page.wait_for_selector("#dock[data-state=speaking]", timeout=60_000)
        await page.wait_for_selector("#dock[data-state=listening]", timeout=90_000)
        await self._shot("real-second")
        notes: dict[str, Any] = await page.evaluate("window.notes")
        await page.click("#dock-end")
        await page.wait_for_selector("#dock", state="hidden")
        return notes

    async def _shot(self, name: str) -> None:
        if self.shots is not None:
            await self.page.screenshot(path=str(self.shots / f"{name}.png"))


def _judge(instance: Instance, notes: dict[str, Any], shots: Path | None) -> tuple[str, bool]:
    told = [(at, event) for at, event in notes["told"]]
    finals = [event["text"] for _, event in told if event["type"] == "transcript.final"]
    stopped = next(at for at, event in told if event["type"] == "audio.stop")
    sounds = [at for at, block in notes["played"] if max(map(abs, block)) > LOUD]
    onset = _onset(notes["heard"], stopped)
    last = max(at for at in sounds if at < onset + 3000)
    gap = min((at for at in sounds if at > stopped + 200), default=0.0) - last
    pcm = array("h", (int(sample) for _, block in notes["played"] for sample in block)).tobytes()
    if shots is not None:
        (shots / "played.wav").write_bytes(_wav(pcm, OUTPUT_RATE))
    text = _written(instance, pcm)
    found = [word for word in WORDS if word in text]
    latency = next((event["first_sound_ms"] for _, event in told if event["type"] == "latency"), None)
    ok = len(finals) >= 2 and len(found) >= 3 and gap > 0
    figure = (
        f"heard as {finals}; first sound after {latency} ms; played again reads {text[:80]!r} (has {found});"
        f" talked over: silent {last - onset:.0f} ms after the microphone rose, next answer {gap / 1000:.1f} s later"
    )
    return figure, ok


def _onset(heard: list[list[float]], before: float) -> float:
    """When the microphone rose the last time before `before` after a second of silence."""
    loud = [at for at, peak in heard if peak > LOUD and at < before]
    starts = [at for earlier, at in zip([-2000.0, *loud], loud, strict=False) if at - earlier > 1000]
    return starts[-1]


def _written(instance: Instance, pcm: bytes) -> str:
    with instance.api() as api:
        files = {"file": ("played.wav", _wav(pcm, OUTPUT_RATE), "audio/wav")}
        answer = api.post("/v1/audio/transcriptions", files=files, data={"model": "whisper-1", "language": "zh"})
        return str(answer.raise_for_status().json()["text"])


def _silence(seconds: float) -> bytes:
    return bytes(2 * int(seconds * INPUT_RATE))


def _wav(pcm: bytes, rate: int) -> bytes:
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(pcm)
    return out.getvalue()


if __name__ == "__main__":
    shots = Path(sys.argv[2]) if len(sys.argv) > 2 else None
    figure, ok = converse(Running(Path(sys.argv[1])), shots)
    print(figure)
    sys.exit(not ok)
