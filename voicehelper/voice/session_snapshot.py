"""What a session is written down as, to go on in another process."""

from dataclasses import asdict, dataclass, field, fields
from typing import Any
from uuid import UUID

from voicehelper.voice.commands import SpeechChoices
from voicehelper.voice.journal import decode, decode_state, encode, encode_state
from voicehelper.voice.model import Final
from voicehelper.voice.state import SessionState, needed_from
from voicehelper.voice.timeline import Clause

OVERLAP = 8_000
"""Half a second: what is heard once more before what was not dealt with."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything.

    Attributes:
        clock_ms: the session's time.
        seq: the journal's last entry.
        heard: input samples heard.
        clauses, generation: what was said last, and how often the sound was stopped.
        messages: answers of the last turns.
        speech: facts about the questions of the last turns.
        final: the last turn that the client was told.
        voice: whose voice the session has.
    """

    state: SessionState
    clock_ms: int = 0
    seq: int = 0
    heard: int = 0
    choices: SpeechChoices = SpeechChoices()
    clauses: tuple[Clause, ...] = ()
    generation: int = 0
    messages: dict[int, UUID] = field(default_factory=dict)
    speech: dict[int, dict[str, Any]] = field(default_factory=dict)
    final: Final | None = None
    voice: str = ""

    @property
    def input_from(self) -> int:
        """The first input sample that has to be heard once more."""
        needed = needed_from(self.state)
        last = max(self.heard, self.state.heard) - OVERLAP
        return max(self.state.acked if needed is None else 0, last if needed is None else min(needed, last), 0)

    def to_json(self) -> dict[str, Any]:
        """For the store."""
        return {
            "state": encode_state(self.state),
            "clock_ms": self.clock_ms,
            "seq": self.seq,
            "heard": self.heard,
            "choices": asdict(self.choices),
            "clauses": [asdict(clause) for clause in self.clauses],
            "generation": self.generation,
            "messages": {str(turn): str(known) for turn, known in self.messages.items()},
            "speech": {str(turn): facts for turn, facts in self.speech.items()},
            "final": None if self.final is None else encode(self.final),
            "voice": self.voice,
        }

    @classmethod
    def of(cls, value: dict[str, Any]) -> "Snapshot":
        """From the store. Fields of a newer version are ignored. Raises `ValueError` for a state that is not known."""
        return cls(
            decode_state(value["state"]),
            value["clock_ms"],
            value["seq"],
            value["heard"],
            SpeechChoices(**_known(SpeechChoices, value["choices"]) | {"hot_words": _words(value["choices"])}),
            tuple(Clause(**_known(Clause, clause)) for clause in value["clauses"]),
            value["generation"],
            {int(turn): UUID(known) for turn, known in value["messages"].items()},
            {int(turn): facts for turn, facts in value["speech"].items()},
            None if value["final"] is None else decode(value["final"]),
            value.get("voice", ""),
        )


def _known(kind: type, value: dict[str, Any]) -> dict[str, Any]:
    names = {known.name for known in fields(kind)}
    return {name: value[name] for name in names if name in value}


def _words(value: dict[str, Any]) -> tuple[str, ...]:
    return tuple(value.get("hot_words", ()))
