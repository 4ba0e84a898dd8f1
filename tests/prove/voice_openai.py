"""A voice conversation of two turns, the second of which interrupts the first answer, with nothing but OpenAI's client.

    python -m tests.prove.voice_openai http://127.0.0.1:8000 KEY "退货要多久？" "那换货呢？"

The questions are said by the platform itself (`client.audio.speech`), the talk goes over `client.realtime.connect`.
"""

import asyncio
import base64
import json
import sys
import time
from collections import deque
from dataclasses import asdict, dataclass, field
from typing import Any

from openai import AsyncOpenAI

RATE = 24_000
FRAME_S = 0.04
_FRAME = int(RATE * FRAME_S) * 2


@dataclass
class Answer:
    """A response, as the client got it."""

    transcript: str = ""
    status: str = ""
    reason: str = ""
    sound_s: float = 0.0
    first_sound_after_s: float = 0.0  # after the end of the question


@dataclass
class Talk:
    """What happened.

    Attributes:
        heard: transcripts of what was said.
        stopped_after_ms: from the first sound of the interruption until the client was told, and dropped its buffer.
        truncated_ms: what the client said it had played of the first answer, as the server confirmed it.
        lead_s: how far ahead of play sound came, at most.
    """

    heard: list[str] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    stopped_after_ms: int | None = None
    truncated_ms: int | None = None
    lead_s: float = 0.0

    @property
    def held(self) -> bool:
        """Whether it was a conversation of two turns with one interruption."""
        statuses = [(answer.status, answer.reason) for answer in self.answers]
        spoken = all(answer.sound_s > 0 and answer.transcript for answer in self.answers)
        return (
            statuses == [("cancelled", "turn_detected"), ("completed", "")]
            and spoken
            and len(self.heard) == 2
            and all(self.heard)
            and self.truncated_ms is not None
            and not self.errors
        )


class Client:
    """A microphone that never stops, a loudspeaker that plays in real time, and the protocol between them."""

    def __init__(self, connection: Any, interrupt_after_s: float) -> None:
        self.talk = Talk()
        self._connection = connection
        self._interrupt_after_s = interrupt_after_s
        self._microphone: deque[bytes] = deque()
        self._question_ended = self._speech_began = 0.0
        self._playing: tuple[str, float, int] | None = None  # item, since when, bytes
        self._news = asyncio.Event()

    async def run(self, first: bytes, second: bytes, timeout: float) -> Talk:
        await self._connection.session.update(
            session={
                "type": "realtime",
                "output_modalities": ["audio"],
                "audio": {
                    "input": {
                        "format": {"type": "audio/pcm", "rate": RATE},
                        "transcription": {"model": "whisper-1"},
                        "turn_detection": {"type": "semantic_vad", "create_response": True, "interrupt_response": True},
                    },
                    "output": {"format": {"type": "audio/pcm", "rate": RATE}, "voice": "marin"},
                },
            }
        )
        parts = [asyncio.create_task(part) for part in (self._speak(), self._listen())]
        try:
            async with asyncio.timeout(timeout):
                await self._say(first)
                await self._until(lambda: self._played_s() >= self._interrupt_after_s, parts)
                await self._say(second)
                await self._until(lambda: [a.status for a in self.talk.answers[1:]] not in ([], [""]), parts)
        except TimeoutError:
            self.talk.errors.append(f"not over after {timeout:.0f} s")
        finally:
            for part in parts:
                part.cancel()
            await asyncio.gather(*parts, return_exceptions=True)
        return self.talk

    async def _say(self, pcm: bytes) -> None:
        self._speech_began = time.monotonic()
        self._microphone.extend(pcm[at : at + _FRAME] for at in range(0, len(pcm), _FRAME))
        while self._microphone:  # noqa: ASYNC110 - in frames
            await asyncio.sleep(FRAME_S)
        self._question_ended = time.monotonic()

    async def _speak(self) -> None:
        """A frame whenever one is due, as a sound card gives them."""
        due = time.monotonic()
        while True:
            frame = self._microphone.popleft() if self._microphone else b""
            sound = frame.ljust(_FRAME, b"\0")
            await self._connection.input_audio_buffer.append(audio=base64.b64encode(sound).decode())
            due += FRAME_S
            await asyncio.sleep(max(0.0, due - time.monotonic()))

    async def _until(self, over: Any, parts: list[asyncio.Task[None]]) -> None:
        while not over():
            for part in parts:
                if part.done():
                    part.result()
                    raise ConnectionError("the connection ended")
            await asyncio.sleep(0.02)

    async def _listen(self) -> None:
        async for event in self._connection:
            handle = getattr(self, "_on_" + event.type.replace(".", "_"), None)
            if handle is not None:
                await handle(event)

    def _played_s(self) -> float:
        if self._playing is None:
            return 0.0
        _, since, size = self._playing
        return min(time.monotonic() - since, size / 2 / RATE)

    async def _on_error(self, event: Any) -> None:
        self.talk.errors.append(f"{event.error.code}: {event.error.message}")

    async def _on_input_audio_buffer_speech_started(self, event: Any) -> None:
        """As OpenAI's guide has it: drop what is buffered, and say how much was played."""
        if self._playing is None or self._played_s() >= self._playing[2] / 2 / RATE:
            return
        self.talk.stopped_after_ms = int((time.monotonic() - self._speech_began) * 1000)
        item, played = self._playing[0], self._played_s()
        self._playing = None
        await self._connection.conversation.item.truncate(
            item_id=item, content_index=0, audio_end_ms=int(played * 1000)
        )

    async def _on_conversation_item_truncated(self, event: Any) -> None:
        self.talk.truncated_ms = event.audio_end_ms

    async def _on_conversation_item_input_audio_transcription_completed(self, event: Any) -> None:
        self.talk.heard.append(event.transcript)

    async def _on_response_created(self, _: Any) -> None:
        self.talk.answers.append(Answer())

    async def _on_response_output_audio_delta(self, event: Any) -> None:
        answer, size = self.talk.answers[-1], len(base64.b64decode(event.delta))
        now = time.monotonic()
        if not answer.sound_s:
            answer.first_sound_after_s = round(now - self._question_ended, 3)
        answer.sound_s += size / 2 / RATE
        if self._playing is None or self._playing[0] != event.item_id:
            self._playing = (event.item_id, now, 0)
        item, since, before = self._playing
        if now - since > before / 2 / RATE:  # it had run dry
            since = now - before / 2 / RATE
        self._playing = (item, since, before + size)
        self.talk.lead_s = max(self.talk.lead_s, (before + size) / 2 / RATE - (now - since))

    async def _on_response_output_audio_transcript_delta(self, event: Any) -> None:
        self.talk.answers[-1].transcript += event.delta

    async def _on_response_done(self, event: Any) -> None:
        answer = self.talk.answers[-1]
        answer.status = event.response.status
        answer.reason = (event.response.status_details.reason or "") if event.response.status_details else ""


async def talk(
    base_url: str, key: str, first: bytes, second: bytes, *, interrupt_after_s: float = 1.0, timeout: float = 90.0
) -> Talk:
    """Hold the conversation. `first`, `second`: 24 kHz PCM; `second` begins when so much of the answer was heard."""
    async with (
        AsyncOpenAI(base_url=f"{base_url}/v1", api_key=key) as client,
        client.realtime.connect(model="gpt-realtime") as connection,
    ):
        created = await connection.recv()
        if created.type != "session.created":
            raise ConnectionError(str(created))
        return await Client(connection, interrupt_after_s).run(first, second, timeout)


async def speech(base_url: str, key: str, text: str) -> bytes:
    """The text as 24 kHz PCM, said by the platform."""
    async with AsyncOpenAI(base_url=f"{base_url}/v1", api_key=key) as client:
        made = await client.audio.speech.create(model="tts-1", voice="alloy", input=text, response_format="pcm")
        return await made.aread()


async def _main(base_url: str, key: str, first: str, second: str) -> int:
    said = [await speech(base_url, key, text) for text in (first, second)]
    held = await talk(base_url, key, *said)
    print(json.dumps({"held": held.held, **asdict(held)}, ensure_ascii=False, indent=2))
    return 0 if held.held else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(_main(*sys.argv[1:5])))
