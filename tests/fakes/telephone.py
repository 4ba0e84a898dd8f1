"""A client of a voice session, in the test's own process and in virtual time."""

import asyncio
import math
from array import array

from voicehelper.ports.speech import INPUT_RATE
from voicehelper.voice.commands import PlayedTo
from voicehelper.voice.outputs import Closed, Frame, Resumed, SoundHeld, SoundResumed, SoundStopped

FRAME_S = 0.1
SPEECH = array("h", (int(12000 * math.sin(n * 220 * math.tau / INPUT_RATE)) for n in range(1600))).tobytes()
SILENCE = bytes(3200)


class Telephone:
    """Speaks and listens; plays sound in real time, and says how far (`reports`).

    `log` holds every output but frames; `heard` what was played: (sample, pcm length in samples).
    """

    def __init__(self, session, reports=True):
        self.session = session
        self.reports = reports
        self.log = []
        self.frames = []
        self.sent = []  # everything recorded, by frame
        self.position = 0
        self.played = 0
        self.buffer = []
        self.held = False
        self.generation = 0
        self.closed = asyncio.Event()
        self.tasks = [asyncio.create_task(part()) for part in (self._listen, self._play)]

    async def speak(self, seconds):
        await self._record(SPEECH, seconds)

    async def silence(self, seconds):
        await self._record(SILENCE, seconds)

    async def _record(self, frame, seconds):
        for _ in range(round(seconds / FRAME_S)):
            await asyncio.sleep(FRAME_S)
            self.sent.append(frame)
            await self.session.audio(frame)

    async def again(self, input_from):
        """What was recorded from `input_from` on, once more."""
        everything = b"".join(self.sent)[input_from * 2 :]
        for start in range(0, len(everything), 3200):
            await self.session.audio(everything[start : start + 3200])

    def of(self, kind):
        return [output for output in self.log if isinstance(output, kind)]

    async def until(self, kind, count=1, timeout=30):
        async with asyncio.timeout(timeout):
            while len(self.of(kind)) < count:  # noqa: ASYNC110 - in virtual time
                await asyncio.sleep(0.01)
        return self.of(kind)[count - 1]

    async def _listen(self):
        async for output in self.session.output():
            match output:
                case Frame():
                    assert output.generation == self.generation
                    self.frames.append(output)
                    self.buffer.append(output)
                case SoundHeld():
                    self.held = True
                case SoundResumed():
                    self.held = False
                case SoundStopped():
                    self.buffer.clear()
                    self.played = output.sample
                    self.generation = output.generation
                    self.held = False
                case Resumed():
                    self.buffer.clear()
                    self.generation = output.generation
            if not isinstance(output, Frame):
                self.log.append(output)
            if isinstance(output, Closed):
                self.closed.set()

    async def _play(self):
        """In steps of 20 ms; reports every 200 ms."""
        rate, step = self.session.info.output_rate, 0
        while True:
            await asyncio.sleep(0.02)
            step += 1
            left = rate // 50
            while left and self.buffer and not self.held:
                frame = self.buffer[0]
                size = len(frame.pcm) // 2
                if frame.sample + size <= self.played:
                    self.buffer.pop(0)
                    continue
                taken = min(left, frame.sample + size - max(self.played, frame.sample))
                self.played = max(self.played, frame.sample) + taken
                left -= taken
            if self.reports and step % 10 == 0 and not self.closed.is_set():
                await self.session.send(PlayedTo(self.played))

    async def hang_up(self):
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
