"""What the adapters of all vendors share: admission, connections, and from payloads to events."""

import time
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing

import httpx2

from actors.chat.admission import Admission
from actors.chat.complaints import complaint, meaning
from actors.chat.cutting import Cut
from actors.chat.providers import Shape
from actors.chat.reading import Reading
from actors.chat.upstream import http_client
from actors.chat.wire import Chunk
from voicehelper.errors import VoiceHelperError
from voicehelper.models.tokens import estimate_tokens
from voicehelper.ports.chat import ChatDelta, ChatEvent, ChatModelInfo, ChatRequest

Payloads = AsyncGenerator[list[bytes], None]


class RemoteChat(ABC):
    """A chat model behind a vendor's API.

    Duties: admit, send, translate the vendor's errors into ours, hang up when the stream is closed. It never retries:
    who calls it knows better whether another model should be asked instead.

    Args:
        base_url: of the API; empty for the provider's own.
        model: the remote model's name.
        context_tokens: what the remote model promises; not checked here, the server knows better.
        parallel: requests in flight at the same time; 0 for no limit.
        queue: requests waiting beyond those.
        shape: how this model's requests differ from the format.
        provider: its name.
        fixed: `model` is asked whatever requests name.
        metered: what metrics call the model; empty for `model`.
        http: connections to use, which stay open at `close`; None for its own.
    """

    def __init__(
        self,
        base_url: str,
        *,
        model: str,
        provider: str,
        shape: Shape,
        context_tokens: int = 4096,
        parallel: int = 4,
        queue: int = 16,
        fixed: bool = False,
        metered: str = "",
        http: httpx2.AsyncClient | None = None,
    ) -> None:
        self._info = ChatModelInfo(model, context_tokens, provider)
        self._shape = shape
        self._fixed = fixed
        self._metered = metered or model
        self._admission = Admission("chat", parallel, queue) if parallel else None
        self._own_http = None if http else http_client(base_url)
        self._http = http or self._own_http

    async def describe(self) -> ChatModelInfo:
        """The configured model; the server is not asked."""
        return self._info

    async def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Estimates: OpenAI's format has no tokenizer, and Anthropic's count would be a call for each text."""
        return [estimate_tokens(text) for text in texts]

    def stream(self, request: ChatRequest) -> AsyncGenerator[ChatEvent, None]:
        """See `ChatModel.stream`. Raises also `DeadlineExceeded`. Closing the generator hangs up."""
        return self._stream(request) if self._admission is None else self._admitted(request, self._admission)

    async def close(self) -> None:
        """Close the connections."""
        if self._own_http is not None:
            await self._own_http.aclose()

    @abstractmethod
    def _exchange(self, request: ChatRequest, model: str) -> tuple[Payloads, Callable[[bytes], Chunk]]:
        """Send, and how what comes is to be read."""

    def _local_stops(self, request: ChatRequest) -> tuple[str, ...]:
        """Stop words that the vendor does not take."""
        return request.stop if "stop" in self._shape.drop else ()

    async def _admitted(self, request: ChatRequest, admission: Admission) -> AsyncGenerator[ChatEvent, None]:
        await admission.acquire()
        started = time.monotonic()
        try:
            async with aclosing(self._stream(request)) as events:
                async for event in events:
                    yield event
        finally:
            admission.release(time.monotonic() - started)

    async def _stream(self, request: ChatRequest) -> AsyncGenerator[ChatEvent, None]:
        model = self._info.model if self._fixed else request.model or self._info.model
        reading = Reading(self._metered, model)
        cut = Cut(stops) if (stops := self._local_stops(request)) else None
        payloads, parse = self._exchange(request, model)
        async with aclosing(payloads) as read:
            with reading.errors():
                async for together in read:
                    events, error = self._events(reading, together, parse)
                    for event in events if cut is None else cut.events(events):
                        yield event
                    if cut is not None and cut.found:
                        yield reading.cut(cut.said)
                        return
                    if error is not None:
                        raise error
        if cut is not None and (text := cut.rest()):
            yield ChatDelta(text)
        yield reading.end()

    def _events(
        self, reading: Reading, payloads: Sequence[bytes], parse: Callable[[bytes], Chunk]
    ) -> tuple[list[ChatEvent], VoiceHelperError | None]:
        """What `payloads` say, and the error that one of them is: what came before it was said."""
        events: list[ChatEvent] = []
        for payload in payloads:
            try:
                chunk = parse(payload)
            except VoiceHelperError as error:
                return events, error
            if chunk.error is not None:
                return events, meaning(complaint(0, chunk.error, None, self._shape.provider.busy_words))
            reading.add(chunk, events)
        return events or reading.sign_of_life(), None
