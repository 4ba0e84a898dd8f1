"""One exchange with a vendor: post a body, read the event stream of the answer, through the vendor's own SDK.

The SDK gives connections, headers, authentication, and its errors; of its answer only the bytes are taken, because it
builds a validated object of every chunk (0.09 ms each; figures in docs/providers.md). Nothing is ever retried here: who
calls knows better whether another model should be asked instead.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any, TypeVar

import httpx2
import openai
import orjson
from openai import AsyncStream, DefaultAioHttpClient

from actors.chat.sse import EventLines
from actors.chat.vendor_errors import TRANSPORT_ERRORS, broken, translated
from voicehelper.context import current_context
from voicehelper.errors import DeadlineExceeded, InvalidInput, ModelUnavailable

CONNECT_S = 5.0
SILENCE_S = 60.0
# Plain connections are cheap to open, and the servers at their other end (uvicorn) drop idle ones after 5 s: one that
# is used at that moment fails. TLS is dear, and vendors keep connections for a minute or more.
_KEEP_S = {"http": 4.0, "https": 30.0}
_CONNECTIONS = 1024
_DRAIN_S = 0.02

T = TypeVar("T")


def http_client(base_url: str) -> httpx2.AsyncClient:
    """Connections for an SDK to `base_url`, on the aiohttp transport. Close it when nothing uses it any more.

    Redirects are not followed: a tenant's address was checked when it was written, where it leads to was not.
    """
    keep = _KEEP_S.get(base_url.partition(":")[0], _KEEP_S["https"])
    limits = httpx2.Limits(max_connections=_CONNECTIONS, max_keepalive_connections=_CONNECTIONS, keepalive_expiry=keep)
    return DefaultAioHttpClient(limits=limits, follow_redirects=False)


class Watch:
    """Ends the steps of one exchange at the request's deadline.

    One timer for all steps: `asyncio.timeout` around each costs more than reading a chunk does. A step that the timer
    interrupts raises `DeadlineExceeded`; a cancellation from elsewhere stays one.
    """

    def __init__(self, remaining: float | None) -> None:
        self._over = False
        self._waiting: asyncio.Task[Any] | None = None
        self._timer: asyncio.TimerHandle | None = None
        if remaining is not None:
            self._timer = asyncio.get_running_loop().call_later(remaining, self._end)

    async def step(self, call: Callable[..., Awaitable[T]], *args: Any, **kwargs: Any) -> T:
        """Await `call(*args, **kwargs)`."""
        if self._timer is None:
            return await call(*args, **kwargs)
        if self._over:
            raise _out_of_time()
        task = asyncio.current_task()
        assert task is not None
        cancelled_before, self._waiting = task.cancelling(), task
        try:
            return await call(*args, **kwargs)
        except asyncio.CancelledError:
            if self._waiting is None and task.uncancel() <= cancelled_before:
                raise _out_of_time() from None
            raise
        finally:
            self._waiting = None

    def stop(self) -> None:
        """No more steps."""
        if self._timer is not None:
            self._timer.cancel()

    def _end(self) -> None:
        self._over = True
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None


def _out_of_time() -> DeadlineExceeded:
    return DeadlineExceeded("Out of time while the model answered")


class Upstream:
    """A vendor's endpoint behind its SDK's client.

    Args:
        post: of an SDK's client made with `max_retries=0`, and a timeout whose `read` is the longest silence to bear.
        path: of the endpoint, below the client's base URL.
        headers: sent beside the SDK's own.
        busy_words: as in `Complaint`.
        sdk_error: base of what the SDK raises.
    """

    def __init__(
        self,
        post: Callable[..., Awaitable[Any]],
        path: str,
        headers: Mapping[str, str] | None = None,
        busy_words: frozenset[str] = frozenset(),
        sdk_error: type[Exception] = openai.OpenAIError,
    ) -> None:
        self._post = post
        self._path = path
        self._headers = dict(headers or {})
        self._busy_words = busy_words
        self._errors = (sdk_error, *TRANSPORT_ERRORS, ValueError)

    async def events(self, body: Mapping[str, Any]) -> AsyncGenerator[list[bytes], None]:
        """Payloads of the answer's events, as many as came together; an empty list for a sign of life.

        Ends with the answer, however that came. Raises what `vendor_errors` says, `DeadlineExceeded`, and
        `InvalidInput` for a body that is not JSON. Closing the generator hangs up.
        """
        content = encoded(body)
        watch = Watch(current_context().remaining())
        try:
            response = await self._sent(watch, content, stream=True, stream_cls=AsyncStream[object])
            try:
                async for payloads in self._read(watch, response):
                    yield payloads
            finally:
                await response.aclose()
        finally:
            watch.stop()

    async def answer(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """The answer to `body`, where it is one JSON object. Raises as `events`."""
        watch = Watch(current_context().remaining())
        try:
            response = await self._sent(watch, encoded(body))
            answer = orjson.loads(response.content)
        except orjson.JSONDecodeError as error:
            raise ModelUnavailable("The model server sent something that is not JSON") from error
        finally:
            watch.stop()
        if not isinstance(answer, dict):
            raise ModelUnavailable("The model server sent something that is not an answer")
        return answer

    async def _sent(self, watch: Watch, content: bytes, **how: Any) -> httpx2.Response:
        headers = {"Accept": "text/event-stream"} if how else {}
        try:
            response: httpx2.Response = await watch.step(
                self._post,
                self._path,
                cast_to=httpx2.Response,
                content=content,
                options={"headers": headers | self._headers},
                **how,
            )
        except self._errors as error:
            raise translated(error, self._busy_words) from error
        return response

    async def _read(self, watch: Watch, response: httpx2.Response) -> AsyncGenerator[list[bytes], None]:
        lines = EventLines()
        pieces = response.aiter_bytes()
        try:
            while (piece := await watch.step(anext, pieces, None)) is not None:
                yield lines.feed(piece)
                if lines.done:
                    await _drain(pieces)
                    return
        except TRANSPORT_ERRORS as error:
            raise broken(error) from error
        if last := lines.rest():
            yield [last]


async def _drain(pieces: AsyncGenerator[bytes, None]) -> None:
    """Take the end of the body, which mostly came with the last event: without it the connection cannot be kept."""
    with suppress(TimeoutError, *TRANSPORT_ERRORS):
        async with asyncio.timeout(_DRAIN_S):
            async for _ in pieces:
                pass


def encoded(body: Mapping[str, Any]) -> bytes:
    """`body` as JSON. Raises `InvalidInput` where it is none."""
    try:
        return orjson.dumps(body)
    except orjson.JSONEncodeError as error:
        raise InvalidInput(f"The request is not JSON: {error}") from error
