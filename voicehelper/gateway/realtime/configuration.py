"""The session's configuration: what the protocol calls it, and what it means for us. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from voicehelper.gateway.realtime.refusals import Refusal
from voicehelper.voice.commands import Configure
from voicehelper.voice.machine_hearing import PRE_ROLL_MS
from voicehelper.voice.model import TurnOptions
from voicehelper.wire.realtime_session import Format, Input, Output, ServerVad, SessionPatch, TurnDetection, VoiceId

_OPENAI_VOICES: Final = frozenset(
    ("alloy", "ash", "ballad", "cedar", "coral", "echo", "fable", "marin", "nova", "onyx", "sage", "shimmer", "verse")
)
"""Names every client of the protocol may send: here they stand for the synthesiser's own default."""
_EAGERNESS: Final = {  # shortest and longest silence that ends a turn, silence after an unfinished phrase
    "high": (200, 600, 1200),
    "low": (600, 2000, 4000),
}
_SHORTEST_SILENCE_MS, _LONGEST_SILENCE_MS = 200, 3000


@dataclass(frozen=True, slots=True)
class Detection:
    """Turn detection. `silence_ms` is that of `server_vad`."""

    kind: Literal["server_vad", "semantic_vad"] = "semantic_vad"
    create_response: bool = True
    interrupt_response: bool = True
    silence_ms: int = 500
    eagerness: str = "auto"


@dataclass(frozen=True, slots=True)
class Facts:
    """What the session is, whatever the client wishes: for `session.created` and `session.updated`.

    Attributes:
        threshold: from which probability on our detector hears speech.
        transcriber: the model that writes down what is said.
        turn: turn taking as the session began.
        expires_at: seconds since 1970.
    """

    id: str
    conversation_id: str
    model: str
    expires_at: int
    threshold: float = 0.5
    prefix_padding_ms: int = PRE_ROLL_MS
    transcriber: str = ""
    turn: TurnOptions = TurnOptions()


@dataclass(frozen=True, slots=True)
class Configuration:
    """What is in force.

    Attributes:
        detection: None means push to talk.
        transcribed: the client wants to read what was said.
        ignored: fields that a client set and that change nothing here.
    """

    input_format: str = "audio/pcm"
    output_format: str = "audio/pcm"
    text_only: bool = False
    detection: Detection | None = Detection()
    transcribed: bool = False
    language: str = ""
    hot_words: tuple[str, ...] = ()
    voice: str = ""
    speed: float = 1.0
    ignored: frozenset[str] = frozenset()

    @property
    def interruptible(self) -> bool:
        """Whether speech stops the sound."""
        return self.detection is not None and self.detection.interrupt_response

    def changed(self, patch: SessionPatch) -> "Configuration":
        """With `patch` in force. Raises `Refusal`; nothing is changed then."""
        refuse_tools(patch.tools, "session")
        config = replace(self, ignored=self.ignored | set(_ignored(patch)))
        if "output_modalities" in patch.model_fields_set:
            config = replace(config, text_only=text_only(patch.output_modalities, "session"))
        if patch.audio is not None and patch.audio.input is not None:
            config = _with_input(config, patch.audio.input)
        if patch.audio is not None and patch.audio.output is not None:
            config = with_output(config, patch.audio.output)
        return config

    def command(self, usual: TurnOptions) -> Configure:
        """What tells the session about it. `usual`: the platform's own turn taking."""
        speech = {
            "language": self.language,
            "voice": "" if self.voice in _OPENAI_VOICES else self.voice,
            "speed": self.speed,
            "hot_words": self.hot_words,
        }
        return Configure(turn={**_turn(self.detection, usual), "spoken": not self.text_only}, speech=speech)

    def shown(self, facts: Facts) -> dict[str, Any]:
        """The session object."""
        return {
            "type": "realtime",
            "object": "realtime.session",
            "id": facts.id,
            "model": facts.model,
            "expires_at": facts.expires_at,
            "output_modalities": ["text"] if self.text_only else ["audio"],
            "instructions": "",
            "tools": [],
            "tool_choice": "none",
            "max_output_tokens": "inf",
            "tracing": None,
            "truncation": "auto",
            "prompt": None,
            "include": None,
            "audio": {"input": self._shown_input(facts), "output": self._shown_output()},
            "voicehelper": {"conversation_id": facts.conversation_id, "ignored": sorted(self.ignored)},
        }

    def _shown_input(self, facts: Facts) -> dict[str, Any]:
        transcription = {"model": facts.transcriber, "language": self.language or None, "prompt": None}
        return {
            "format": shown_format(self.input_format),
            "noise_reduction": None,
            "transcription": transcription if self.transcribed else None,
            "turn_detection": _shown_detection(self.detection, facts),
        }

    def _shown_output(self) -> dict[str, Any]:
        return {"format": shown_format(self.output_format), "voice": self.voice, "speed": self.speed}


def with_output(config: Configuration, output: Output) -> Configuration:
    """`config` with the client's wishes for what goes to it."""
    given = output.model_fields_set
    if "format" in given:
        config = replace(config, output_format=_format(output.format))
    if "voice" in given:
        voice = output.voice
        config = replace(config, voice=voice.id if isinstance(voice, VoiceId) else voice or "")
    if "speed" in given:
        config = replace(config, speed=output.speed or 1.0)
    return config


def shown_format(kind: str) -> dict[str, Any]:
    """An audio format as the protocol shows it."""
    return {"type": kind, "rate": 24000} if kind == "audio/pcm" else {"type": kind}


def _with_input(config: Configuration, wanted: Input) -> Configuration:
    given = wanted.model_fields_set
    if "format" in given:
        config = replace(config, input_format=_format(wanted.format))
    if "turn_detection" in given:
        config = replace(config, detection=_detection(wanted.turn_detection))
    if "transcription" in given:
        asked = wanted.transcription
        languages = (asked.languages or ([asked.language] if asked.language else [])) if asked else []
        config = replace(
            config,
            transcribed=asked is not None,
            language=languages[0] if len(languages) == 1 else "",
            hot_words=tuple(asked.keywords or ()) if asked else (),
        )
    return config


def _detection(wanted: TurnDetection | None) -> Detection | None:
    if wanted is None:
        return None
    creates, interrupts = wanted.create_response is not False, wanted.interrupt_response is not False
    if isinstance(wanted, ServerVad):
        silence = 500 if wanted.silence_duration_ms is None else wanted.silence_duration_ms
        silence = min(max(silence, _SHORTEST_SILENCE_MS), _LONGEST_SILENCE_MS)
        return Detection("server_vad", creates, interrupts, silence_ms=silence)
    return Detection("semantic_vad", creates, interrupts, eagerness=wanted.eagerness or "auto")


def _shown_detection(detection: Detection | None, facts: Facts) -> dict[str, Any] | None:
    if detection is None:
        return None
    common = {
        "type": detection.kind,
        "create_response": detection.create_response,
        "interrupt_response": detection.interrupt_response,
    }
    if detection.kind == "semantic_vad":
        return {**common, "eagerness": detection.eagerness}
    return {
        **common,
        "threshold": facts.threshold,
        "prefix_padding_ms": facts.prefix_padding_ms,
        "silence_duration_ms": detection.silence_ms,
        "idle_timeout_ms": None,
    }


def _turn(detection: Detection | None, usual: TurnOptions) -> dict[str, Any]:
    """The fields of `TurnOptions` behind a turn detection."""
    if detection is None:
        return {"automatic": False, "answers": False, "interruptible": False}
    if detection.kind == "server_vad":
        shortest = longest = unfinished = detection.silence_ms
    else:
        medium = usual.min_silence_ms, usual.max_silence_ms, usual.unfinished_ms
        shortest, longest, unfinished = _EAGERNESS.get(detection.eagerness, medium)
    return {
        "automatic": True,
        "answers": detection.create_response,
        "interruptible": detection.interrupt_response,
        "min_silence_ms": shortest,
        "max_silence_ms": longest,
        "unfinished_ms": unfinished,
    }


def _format(wanted: Format | None) -> str:
    return "audio/pcm" if wanted is None else wanted.type


def text_only(wanted: list[Any] | None, where: str) -> bool:
    """Whether answers are written only. Raises `Refusal`."""
    if wanted in (None, ["audio"], ["text"]):
        return wanted == ["text"]
    message = "Supported are ['audio'], which comes with its transcript, and ['text']."
    raise Refusal("invalid_value", message, f"{where}.output_modalities")


def refuse_tools(tools: list[Any] | None, where: str) -> None:
    """Raises `Refusal` where there are any."""
    if tools:
        message = "Tools of the client are not supported: answers come from the tenant's knowledge bases."
        raise Refusal("unsupported_parameter", message, f"{where}.tools")


def _ignored(patch: SessionPatch) -> Iterator[str]:
    """Fields that were set and change nothing."""
    plain = {"instructions": "", "max_output_tokens": "inf", "tool_choice": "none", "truncation": "auto"}
    for name in ("include", "parallel_tool_calls", "prompt", "reasoning", "tracing", *plain):
        if getattr(patch, name) not in (None, [], plain.get(name)):
            yield name
    audio = patch.audio
    wanted = audio.input if audio else None
    if wanted is None:
        return
    if wanted.noise_reduction is not None:
        yield "audio.input.noise_reduction"
    if wanted.transcription is not None and wanted.transcription.prompt:
        yield "audio.input.transcription.prompt"
    if isinstance(wanted.turn_detection, ServerVad):
        for name in ("threshold", "prefix_padding_ms", "idle_timeout_ms"):
            if getattr(wanted.turn_detection, name) is not None:
                yield f"audio.input.turn_detection.{name}"
