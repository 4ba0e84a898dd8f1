"""What synthesisers elsewhere have in common: PCM that comes in pieces of any size, errors, admission."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Sequence
from contextlib import aclosing
from typing import TypeVar

import httpx

from voicehelper.context import current_context
from voicehelper.errors import DeadlineExceeded, InvalidInput, ModelUnavailable, Overloaded, VoiceHelperError
from voicehelper.ports.speech import Voice

T = TypeVar("T")

TIMEOUT = httpx.Timeout(30.0, connect=5.0)
_RETRY_S = 5.0


def checked_voice(name: str, voices: Sequence[Voice], language: str) -> str:
    """The voice to speak with; the first one of the language where none is named. Raises `InvalidInput`."""
    if name:
        if all(voice.name != name for voice in voices):
            raise InvalidInput(f"No voice {name!r}", {"voices": [voice.name for voice in voices]})
        return name
    return next((voice.name for voice in voices if language in voice.languages), voices[0].name)


def refusal(response: httpx.Response) -> VoiceHelperError:
    """Our error for a server's status; its own words may name keys or accounts and stay out."""
    if response.status_code == httpx.codes.TOO_MANY_REQUESTS:
        after = response.headers.get("retry-after", "")
        return Overloaded("The speech server is busy", retry_after=float(after) if after.isdigit() else _RETRY_S)
    if response.status_code in {400, 413, 422}:
        return InvalidInput("The speech server refuses the request")
    return ModelUnavailable("The speech server failed", {"status": response.status_code})


async def in_time(step: Awaitable[T]) -> T:
    """One step of an exchange, within the request's deadline. Raises `DeadlineExceeded`, `ModelUnavailable`."""
    try:
        async with asyncio.timeout(current_context().remaining()):
            return await step
    except httpx.HTTPError as error:
        raise ModelUnavailable("The speech server cannot be reached, or hung up") from error
    except TimeoutError as error:
        raise DeadlineExceeded("Out of time while the speech server worked") from error


async def whole_samples(chunks: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    """The same bytes, never half a sample: chunks of the network end anywhere."""
    rest = b""
    async for chunk in chunks:
        data = rest + chunk
        rest = data[len(data) - len(data) % 2 :]
        if len(data) > 1:
            yield data[: len(data) - len(rest)]


async def streamed(client: httpx.AsyncClient, request: httpx.Request) -> AsyncGenerator[bytes, None]:
    """The body of the answer to `request` as PCM. Closing hangs up. Raises what `refusal` and `in_time` make."""
    response = await in_time(client.send(request, stream=True))
    try:
        if response.status_code != httpx.codes.OK:
            raise refusal(response)
        async with aclosing(whole_samples(_in_time(response.aiter_bytes()))) as samples:
            async for piece in samples:
                yield piece
    finally:
        await response.aclose()


async def _in_time(chunks: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    while (chunk := await in_time(_next(chunks))) is not None:
        yield chunk


async def _next(chunks: AsyncIterator[bytes]) -> bytes | None:
    return await anext(chunks, None)
