"""What a model's answer consists of on its way to OpenAI's formats."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from voicehelper.errors import BrokenStream
from voicehelper.ports.chat import ChatDelta, ChatDone, ChatEvent, ChatToolDelta, TokenLogprob, ToolCall
from voicehelper.rag.events import Citation


@dataclass(frozen=True, slots=True)
class Grounded:
    """Comes before the `ChatDone` of a knowledge base's answer: what it rests on, and how it went."""

    citations: tuple[Citation, ...]
    outcome: str
    degraded: tuple[str, ...]


Event = ChatEvent | Grounded
Events = AsyncGenerator[Event, None]


@dataclass
class Whole:
    """A finished answer."""

    text: str
    calls: tuple[ToolCall, ...]
    logprobs: list[TokenLogprob]
    done: ChatDone
    grounded: Grounded | None


@dataclass(slots=True)
class Gathered:
    """An answer so far."""

    texts: list[str] = field(default_factory=list)
    logprobs: list[TokenLogprob] = field(default_factory=list)
    calls: dict[int, list[str]] = field(default_factory=dict)
    grounded: Grounded | None = None

    def add(self, event: Event) -> None:
        """Take a piece in."""
        if type(event) is ChatDelta:
            self.texts.append(event.text)
            if event.logprobs:
                self.logprobs.extend(event.logprobs)
        elif type(event) is ChatToolDelta:
            call = self.calls.setdefault(event.index, ["", "", ""])
            call[0] = call[0] or event.id
            call[1] = call[1] or event.name
            call[2] += event.arguments
        elif type(event) is Grounded:
            self.grounded = event

    def whole(self, done: ChatDone) -> Whole:
        """The answer, with its end."""
        calls = tuple(ToolCall(*call) for _, call in sorted(self.calls.items()))
        return Whole("".join(self.texts), calls, self.logprobs, done, self.grounded)


async def collect(events: Events) -> Whole:
    """All of it. Raises what `events` raises, and `BrokenStream` when they end early."""
    gathered = Gathered()
    async for event in events:
        if type(event) is ChatDone:
            return gathered.whole(event)
        gathered.add(event)
    raise BrokenStream


def route_facts(done: ChatDone, grounded: Grounded | None) -> dict[str, Any]:
    """The object `voicehelper` of a response: which model answered, what was tried before it, what it cost."""
    facts: dict[str, Any] = {"model": done.model}
    route = done.route
    if route is not None:
        facts |= {
            "provider": route.provider,
            "strategy": route.strategy,
            "attempts": [
                {"model": tried.model, "outcome": tried.outcome, "reason": tried.reason, "ms": round(tried.ms, 1)}
                for tried in route.attempts
            ],
            "experiment": route.experiment,
            "variant": route.variant,
            "warnings": list(route.warnings),
            "cost_micros": route.cost_micros,
        }
    if grounded is not None:
        facts |= {"outcome": grounded.outcome, "degraded": list(grounded.degraded)}
    return facts


def route_headers(done: ChatDone) -> list[tuple[bytes, bytes]]:
    """The same as headers, for responses that are sent whole."""
    headers = [(b"x-voicehelper-model", _printable(done.model))]
    route = done.route
    if route is None:
        return headers
    headers += [
        (b"x-voicehelper-provider", _printable(route.provider)),
        (b"x-voicehelper-attempts", b"%d" % len(route.attempts)),
        (b"x-voicehelper-cost-micros", b"%d" % route.cost_micros),
    ]
    if route.variant:
        headers.append((b"x-voicehelper-variant", _printable(f"{route.experiment}/{route.variant}")))
    if route.warnings:
        headers.append((b"x-voicehelper-warnings", _printable(",".join(route.warnings))))
    return headers


def _printable(text: str) -> bytes:
    """A header's value: other characters than ASCII's are percent-encoded."""
    return text.encode() if text.isascii() and text.isprintable() else quote(text, safe=" /:,").encode()
