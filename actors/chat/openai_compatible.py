"""Any server that speaks the OpenAI chat-completions format, through the official SDK."""

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any

import openai

from actors.chat.admission import Admission
from actors.chat.estimate import estimate_tokens
from actors.chat.usage import StreamMeter
from actors.chat.vendor_errors import VENDOR_ERRORS, translated
from actors.chat.wire import read_chunk, request_body
from voicehelper.context import current_context
from voicehelper.errors import DeadlineExceeded, InvalidInput, ModelUnavailable
from voicehelper.ports.chat import (
    ChatDelta,
    ChatDone,
    ChatEvent,
    ChatModelInfo,
    ChatRequest,
    ChatUsage,
    FinishReason,
)

_CONNECT_S = 5.0
_SILENCE_S = 60.0


class OpenAICompatibleChat:
    """Streams from a chat-completions URL.

    Duties: admit, send, translate the vendor's errors into ours, hang up when the stream is closed. It never retries:
    who calls it knows better whether another model should be asked instead.

    Args:
        base_url: up to and with `/v1`.
        api_key: may be empty for servers without keys.
        model: the remote model's name.
        context_tokens: what the remote model promises; not checked here, the server knows better.
        parallel: requests in flight at the same time.
        queue: requests waiting beyond those.
        silence_s: a server silent for longer, before or within an answer, counts as gone.
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
        silence_s: float = _SILENCE_S,
    ) -> None:
        if not base_url:
            raise InvalidInput("chat.base_url is empty: set it, or choose another chat.backend")
        self._info = ChatModelInfo(model, context_tokens, "openai")
        self._admission = Admission("chat", parallel, queue)
        self._client = openai.AsyncOpenAI(
            base_url=base_url,
            api_key=api_key or "none",
            max_retries=0,
            timeout=openai.Timeout(silence_s, connect=_CONNECT_S),
        )

    async def describe(self) -> ChatModelInfo:
        """The configured model; the server is not asked."""
        return self._info

    async def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Estimates: the format has no tokenizer."""
        return [estimate_tokens(text) for text in texts]

    async def stream(self, request: ChatRequest) -> AsyncGenerator[ChatEvent, None]:
        """See `ChatModel.stream`. Raises also `DeadlineExceeded`. Closing the generator hangs up."""
        await self._admission.acquire()
        started = time.monotonic()
        try:
            async with aclosing(self._stream(request)) as events:
                async for event in events:
                    yield event
        finally:
            self._admission.release(time.monotonic() - started)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def _stream(self, request: ChatRequest) -> AsyncGenerator[ChatEvent, None]:
        model = request.model or self._info.model
        meter = StreamMeter(self._info.model)
        finish: FinishReason | None = None
        usage = ChatUsage()
        async with aclosing(self._chunks(request_body(request) | {"model": model})) as chunks:
            async for raw in chunks:
                chunk = read_chunk(raw)
                finish, usage = chunk.finish or finish, chunk.usage or usage
                if chunk.text:
                    meter.text()
                    yield ChatDelta(chunk.text)
        if finish is None:
            raise ModelUnavailable("The model server broke off its answer")
        meter.done(usage)
        yield ChatDone(finish, usage, model)

    async def _chunks(self, body: dict[str, Any]) -> AsyncGenerator[dict[str, Any], None]:
        create = self._client.chat.completions.create(**body, stream=True, stream_options={"include_usage": True})
        response = await _in_time(create)
        try:
            chunks = aiter(response)
            while (chunk := await _in_time(anext(chunks, None))) is not None:
                yield chunk.to_dict()
        finally:
            await response.close()


async def _in_time(step: Any) -> Any:
    """Await one step of the exchange within the request's deadline, with the vendor's errors translated."""
    try:
        async with asyncio.timeout(current_context().remaining()):
            return await step
    except VENDOR_ERRORS as error:
        raise translated(error) from error
    except TimeoutError as error:
        raise DeadlineExceeded("Out of time while the model answered") from error
