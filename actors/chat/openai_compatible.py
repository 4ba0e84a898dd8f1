"""Any server that speaks the OpenAI chat-completions format, through the official SDK."""

import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

import httpx2
import openai

from actors.chat.admission import Admission
from actors.chat.complaints import complaint, meaning
from actors.chat.estimate import estimate_tokens
from actors.chat.providers import OPENAI_COMPATIBLE, Shape, shape_of
from actors.chat.reading import Reading
from actors.chat.shaping import shaped_body
from actors.chat.upstream import CONNECT_S, SILENCE_S, Upstream, http_client
from actors.chat.wire import read_chunk
from voicehelper.errors import InvalidInput
from voicehelper.ports.chat import ChatEvent, ChatModelInfo, ChatRequest

_PATH = "/chat/completions"


class OpenAICompatibleChat:
    """Streams from a chat-completions URL.

    Duties: admit, send, translate the vendor's errors into ours, hang up when the stream is closed. It never retries:
    who calls it knows better whether another model should be asked instead.

    Args:
        base_url: up to and with `/v1`; empty for the provider's own.
        api_key: may be empty for servers without keys.
        model: the remote model's name.
        context_tokens: what the remote model promises; not checked here, the server knows better.
        parallel: requests in flight at the same time; 0 for no limit.
        queue: requests waiting beyond those.
        silence_s: a server silent for longer, before or within an answer, counts as gone.
        shape: how this model's requests differ from the format.
        fixed: `model` is asked whatever requests name.
        http: connections to use, which stay open at `close`; None for its own.
    """

    def __init__(
        self,
        base_url: str,
        api_key: str,
        *,
        model: str,
        context_tokens: int = 4096,
        parallel: int = 4,
        queue: int = 16,
        silence_s: float = SILENCE_S,
        shape: Shape | None = None,
        fixed: bool = False,
        http: httpx2.AsyncClient | None = None,
    ) -> None:
        self._shape = shape or shape_of(OPENAI_COMPATIBLE, model)
        provider = self._shape.provider
        if not (base_url := base_url or provider.base_url):
            raise InvalidInput("chat.base_url is empty: set it, or choose another chat.backend")
        self._info = ChatModelInfo(model, context_tokens, "openai" if shape is None else provider.name)
        self._admission = Admission("chat", parallel, queue) if parallel else None
        self._fixed = fixed
        self._own_http = None if http else http_client(base_url)
        client = openai.AsyncOpenAI(
            base_url=base_url,
            api_key=api_key or "none",
            max_retries=0,
            timeout=openai.Timeout(silence_s, connect=CONNECT_S),
            http_client=http or self._own_http,
        )
        self._upstream = Upstream(client.post, _PATH, self._shape.options.headers, provider.busy_words)

    async def describe(self) -> ChatModelInfo:
        """The configured model; the server is not asked."""
        return self._info

    async def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Estimates: the format has no tokenizer."""
        return [estimate_tokens(text) for text in texts]

    def stream(self, request: ChatRequest) -> AsyncGenerator[ChatEvent, None]:
        """See `ChatModel.stream`. Raises also `DeadlineExceeded`. Closing the generator hangs up."""
        return self._stream(request) if self._admission is None else self._admitted(request, self._admission)

    async def close(self) -> None:
        """Close the connections."""
        if self._own_http is not None:
            await self._own_http.aclose()

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
        reading = Reading(self._info.model, model)
        async with aclosing(self._upstream.events(shaped_body(request, self._shape, model))) as read:
            with reading.errors():
                async for payloads in read:
                    for event in self._events(reading, payloads):
                        yield event
        yield reading.end()

    def _events(self, reading: Reading, payloads: Sequence[bytes]) -> list[ChatEvent]:
        events: list[ChatEvent] = []
        for payload in payloads:
            chunk = read_chunk(payload)
            if chunk.error is not None:
                raise meaning(complaint(0, chunk.error, None, self._shape.provider.busy_words))
            reading.add(chunk, events)
        return events or reading.sign_of_life()
