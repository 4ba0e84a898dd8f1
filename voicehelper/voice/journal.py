"""What a session's core was told and decided, as JSON: to look into, to replay, to go on with elsewhere.

Everything of `model.py` and `state.py` becomes an object with its type's name in `t`; lists stand for tuples. Fields
that are not known are left out when read, and fields that are missing keep their default, so that replicas of two
versions can take sessions over from each other during an update.
"""

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, cast, get_args

from voicehelper.voice import model, state
from voicehelper.voice.model import Effect, Event, TurnOptions
from voicehelper.voice.state import SessionState

VERSION = 1

_TYPES: dict[str, type[Any]] = {
    kind.__name__: kind
    for kind in (
        *get_args(model.Event),
        *get_args(model.Effect),
        *get_args(model.Notice),
        TurnOptions,
        SessionState,
        state.Utterance,
        state.Turn,
        state.Pending,
    )
}


_FIELDS = {name: tuple(field.name for field in dataclasses.fields(kind)) for name, kind in _TYPES.items()}


def encode(value: object) -> Any:
    """An event, effect, notice, options or state as a JSON value."""
    if isinstance(value, tuple | list):
        return [encode(item) for item in value]
    if value is None or isinstance(value, str | int | float | bool):
        return value
    kind = type(value).__name__
    return {"t": kind, **{name: encode(getattr(value, name)) for name in _FIELDS[kind]}}


def decode(value: Any) -> Any:
    """The reverse. Raises `KeyError` for an unknown type, `TypeError` for a missing field without a default."""
    if isinstance(value, list):
        return tuple(decode(item) for item in value)
    if not isinstance(value, dict):
        return value
    kind = value["t"]
    return _TYPES[kind](**{name: decode(value[name]) for name in _FIELDS[kind] if name in value})


def encode_state(current: SessionState) -> dict[str, Any]:
    """The state with the version of this form, for the store."""
    return {"version": VERSION, **cast(dict[str, Any], encode(current))}


def decode_state(value: dict[str, Any]) -> SessionState:
    """The reverse. Raises `ValueError` for a version that is not known here."""
    if value.get("version") != VERSION:
        raise ValueError(f"A voice session of version {value.get('version')} cannot be taken over")
    return cast(SessionState, decode(value))


def digest(effects: Iterable[Effect]) -> str:
    """16 hexadecimal digits that tell one list of effects from another."""
    text = json.dumps(encode(tuple(effects)), ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


@dataclass(frozen=True, slots=True)
class Entry:
    """A step: number `seq` (from 1), at `now_ms`, what happened, and the digest of what was to be done."""

    seq: int
    now_ms: int
    event: Event
    effects: str

    def to_json(self) -> dict[str, Any]:
        """As it is stored."""
        return {"seq": self.seq, "at": self.now_ms, "event": encode(self.event), "effects": self.effects}


def entry(value: dict[str, Any]) -> Entry:
    """From its stored form."""
    return Entry(value["seq"], value["at"], decode(value["event"]), value["effects"])


class Journal:
    """Numbers the steps of one session. A session that goes on elsewhere goes on after its last `seq`."""

    def __init__(self, seq: int = 0) -> None:
        self.seq = seq

    def record(self, now_ms: int, event: Event, effects: Iterable[Effect]) -> Entry:
        """The next step's entry."""
        self.seq += 1
        return Entry(self.seq, now_ms, event, digest(effects))


def dump(options: TurnOptions, entries: Iterable[Entry]) -> Iterator[str]:
    """A whole session as lines of JSON: the options it began with, then its steps."""
    yield json.dumps({"version": VERSION, "options": encode(options)}, ensure_ascii=False)
    for one in entries:
        yield json.dumps(one.to_json(), ensure_ascii=False)


def load(lines: Iterable[str]) -> tuple[TurnOptions, list[Entry]]:
    """The reverse."""
    values = [json.loads(line) for line in lines if line.strip()]
    return decode(values[0]["options"]), [entry(value) for value in values[1:]]
