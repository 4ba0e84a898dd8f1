# mypy: ignore-errors
# (Pipecat is not installed where this is checked.)
"""Pipecat behind its FastAPI WebSocket transport, with a recogniser, a model and a voice that only wait. Runs in an
environment of its own (`.bench/pipecat`), hence imports nothing of ours.

    python pipecat_server.py PORT JSON      JSON: the fields of `Setting`

Sound goes both ways as bare PCM, 16 kHz in, 24 kHz out; an interruption is told as the text `stop`.
"""

import asyncio
import json
import math
import sys
from array import array
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any

import uvicorn
from fastapi import FastAPI, WebSocket
from loguru import logger
from pipecat.audio.vad.silero import SileroVADAnalyzer
from pipecat.audio.vad.vad_analyzer import VADParams
from pipecat.frames.frames import (
    Frame,
    InputAudioRawFrame,
    InterruptionFrame,
    LLMContextFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    LLMTextFrame,
    OutputAudioRawFrame,
    TranscriptionFrame,
    TTSAudioRawFrame,
)
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import LLMContextAggregatorPair, LLMUserAggregatorParams
from pipecat.processors.frame_processor import FrameDirection
from pipecat.serializers.base_serializer import FrameSerializer
from pipecat.services.llm_service import LLMService
from pipecat.services.stt_service import SegmentedSTTService
from pipecat.services.tts_service import TTSService
from pipecat.transports.websocket.fastapi import FastAPIWebsocketParams, FastAPIWebsocketTransport
from pipecat.turns.user_start import VADUserTurnStartStrategy
from pipecat.turns.user_stop import SpeechTimeoutUserTurnStopStrategy
from pipecat.turns.user_turn_strategies import UserTurnStrategies
from pipecat.workers.runner import WorkerRunner

RATE_OUT = 24_000


@dataclass(frozen=True)
class Setting:
    """Delays in seconds. `vad_stop_s` + `speech_timeout_s` is the silence that ends a turn; `start_s`: speech that
    begins one (and interrupts)."""

    stt_s: float
    llm_s: float
    tts_s: float
    text: str
    sound_s: float
    vad_stop_s: float
    speech_timeout_s: float
    start_s: float
    threshold: float


class Bare(FrameSerializer):
    """PCM as it is."""

    async def serialize(self, frame: Frame) -> str | bytes | None:
        if isinstance(frame, OutputAudioRawFrame):
            return frame.audio
        return "stop" if isinstance(frame, InterruptionFrame) else None

    async def deserialize(self, data: str | bytes) -> Frame | None:
        return InputAudioRawFrame(audio=data, sample_rate=16_000, num_channels=1) if isinstance(data, bytes) else None


class WaitingRecognizer(SegmentedSTTService):
    """Waits, then has heard the same thing."""

    def __init__(self, delay: float) -> None:
        super().__init__(trailing_silence_secs=0.0, ttfs_p99_latency=0.0)
        self._delay = delay

    async def run_stt(self, audio: bytes) -> AsyncGenerator[Frame | None, None]:
        await asyncio.sleep(self._delay)
        yield TranscriptionFrame("How long does a refund take?", "", "")


class WaitingModel(LLMService):
    """Waits, then says the same thing."""

    def __init__(self, delay: float, text: str) -> None:
        super().__init__()
        self._delay = delay
        self._text = text

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if not isinstance(frame, LLMContextFrame):
            await self.push_frame(frame, direction)
            return
        await self.push_frame(LLMFullResponseStartFrame())
        await asyncio.sleep(self._delay)
        await self.push_frame(LLMTextFrame(self._text))
        await self.push_frame(LLMFullResponseEndFrame())


class WaitingVoice(TTSService):
    """Waits, then hums."""

    def __init__(self, delay: float, sound: bytes) -> None:
        super().__init__(sample_rate=RATE_OUT, push_start_frame=True, push_stop_frames=True)
        self._delay = delay
        self._sound = sound

    async def run_tts(self, text: str, context_id: str) -> AsyncGenerator[Frame | None, None]:
        await asyncio.sleep(self._delay)
        for start in range(0, len(self._sound), RATE_OUT // 5):  # a tenth of a second at a time
            yield TTSAudioRawFrame(self._sound[start : start + RATE_OUT // 5], RATE_OUT, 1, context_id=context_id)


def application(setting: Setting) -> FastAPI:
    """One pipeline for each connection, as Pipecat's examples do it."""
    app = FastAPI()
    hum = array("h", (int(8000 * math.sin(n * 440 * math.tau / RATE_OUT)) for n in range(RATE_OUT))).tobytes()
    sound = (hum * math.ceil(setting.sound_s))[: int(setting.sound_s * RATE_OUT) * 2]

    @app.websocket("/ws")
    async def call(websocket: WebSocket) -> None:
        await websocket.accept()
        params = FastAPIWebsocketParams(audio_in_enabled=True, audio_out_enabled=True, serializer=Bare())
        transport = FastAPIWebsocketTransport(websocket=websocket, params=params)
        worker = pipeline(transport, setting, sound)
        runner = WorkerRunner(handle_sigint=False, check_dangling_tasks=False)

        @transport.event_handler("on_client_disconnected")
        async def gone(_transport: Any, _client: Any) -> None:
            await worker.cancel()

        await runner.add_workers(worker)
        await runner.run()

    @app.get("/ready")
    async def ready() -> str:
        return "yes"

    return app


def pipeline(transport: FastAPIWebsocketTransport, setting: Setting, sound: bytes) -> PipelineWorker:
    """Transport, recogniser, model, voice, transport."""
    vad = VADParams(confidence=setting.threshold, start_secs=setting.start_s, stop_secs=setting.vad_stop_s)
    turns = UserTurnStrategies(
        start=[VADUserTurnStartStrategy()],
        stop=[SpeechTimeoutUserTurnStopStrategy(user_speech_timeout=setting.speech_timeout_s)],
    )
    aggregators = LLMContextAggregatorPair(
        LLMContext(),
        user_params=LLMUserAggregatorParams(user_turn_strategies=turns, vad_analyzer=SileroVADAnalyzer(params=vad)),
    )
    stages = [
        transport.input(),
        WaitingRecognizer(setting.stt_s),
        aggregators.user(),
        WaitingModel(setting.llm_s, setting.text),
        WaitingVoice(setting.tts_s, sound),
        transport.output(),
        aggregators.assistant(),
    ]
    params = PipelineParams(audio_in_sample_rate=16_000, audio_out_sample_rate=RATE_OUT)
    return PipelineWorker(Pipeline(stages), params=params, enable_rtvi=False, cancel_on_idle_timeout=False)


if __name__ == "__main__":
    logger.remove()
    logger.add(sys.stderr, level="ERROR")
    uvicorn.run(application(Setting(**json.loads(sys.argv[2]))), port=int(sys.argv[1]), log_level="warning")
