"""Refuses requests beyond what one gateway replica takes on, in our error format.

Serve has limits of its own (`max_ongoing_requests`, `max_queued_requests`), set a little wider than this one: they
answer 429 with `Retry-After` too, but as plain text, and only ever under a flood.
"""

from starlette.types import ASGIApp, Receive, Scope, Send

from voicehelper.errors import Overloaded

_ALWAYS = frozenset({"/health", "/ready", "/metrics"})


class Admission:
    """At most `limit` requests at the same time; a stream counts until its last byte."""

    def __init__(self, app: ASGIApp, limit: int) -> None:
        self._app = app
        self._limit = limit
        self._running = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request. Raises `Overloaded`; the layers outside render it."""
        if scope["type"] != "http" or scope["path"] in _ALWAYS:
            await self._app(scope, receive, send)
            return
        if self._running >= self._limit:
            raise Overloaded(retry_after=1.0)
        self._running += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._running -= 1
