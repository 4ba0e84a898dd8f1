"""A chat model that gives the events it was told to."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field

from voicehelper.ports.chat import ChatDelta, ChatDone, ChatEvent, ChatModelInfo, ChatRequest, ChatUsage

USAGE = ChatUsage(7, 3, 2)


@dataclass
class FakeScriptedModel:
    """Plays `events` (or what `reply` makes of a request), then raises `error` where there is one. After `stops_at`
    events it waits for `go`. Keeps the requests; `stopped` counts streams that were closed or cancelled midway."""

    events: Sequence[ChatEvent] = (ChatDelta("你好"), ChatDelta("。"), ChatDone("stop", USAGE, "fake"))
    error: Exception | None = None
    reply: Callable[[ChatRequest], Sequence[ChatEvent]] | None = None
    stops_at: int | None = None
    go: asyncio.Event = field(default_factory=asyncio.Event)
    requests: list[ChatRequest] = field(default_factory=list)
    stopped: int = 0

    async def describe(self) -> ChatModelInfo:
        """A made-up model."""
        return ChatModelInfo("fake", 4096, "fake")

    async def stream(self, request: ChatRequest) -> AsyncIterator[ChatEvent]:
        """The scripted events."""
        self.requests.append(request)
        try:
            for place, event in enumerate(self.reply(request) if self.reply else self.events):
                if place == self.stops_at:
                    await self.go.wait()
                yield event
        except (GeneratorExit, asyncio.CancelledError):
            self.stopped += 1
            raise
        if self.error is not None:
            raise self.error

    async def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """One token a character."""
        return [len(text) for text in texts]
