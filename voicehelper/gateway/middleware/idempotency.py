"""A write with an `Idempotency-Key` happens once; sent again, it is answered with the first response.

Plain writes are claimed, carried out and answered in one transaction. Uploads take too long for one: the key is held by
a lease meanwhile, which lapses if the process dies; storing the same content under the same name again is harmless.
Questions have their own way (`conversations`): their answers come bit by bit.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from uuid import UUID

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from voicehelper.config import HttpSettings
from voicehelper.errors import DeadlineExceeded, Unavailable
from voicehelper.gateway.classes import RouteClass, class_of
from voicehelper.idempotency import IdempotencyStore, StoredResponse, WriteKey, fingerprint, parse_key
from voicehelper.identity import Principal
from voicehelper.telemetry import get_logger, metrics

log = get_logger(__name__)

REPLAYED = b"idempotent-replayed"
LEASE_S = 15.0

_WRITES = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_API = "/api/v1/"
_EXEMPT = ("/api/v1/auth/", "/api/v1/search")  # tokens are never handed out twice; a search writes nothing
_NOT_KEPT = frozenset({401, 403, 429})
_LARGEST = 2**20


class Idempotency:
    """Answers repeated writes. Raises `InvalidInput` (the key), `IdempotencyMismatch`, `RequestInProgress`,
    `Unavailable`, `DeadlineExceeded` (the body does not come)."""

    def __init__(self, app: ASGIApp, store: IdempotencyStore, settings: HttpSettings, lease_s: float = LEASE_S) -> None:
        self._app = app
        self._store = store
        self._settings = settings
        self._lease_s = lease_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        key = _key(scope)
        principal = scope.get("state", {}).get("principal")
        if key is None or not isinstance(principal, Principal):
            await self._app(scope, receive, send)
        elif class_of(scope) is RouteClass.UPLOAD:
            await self._leased(write_key(scope, principal, key, _declared(scope)), scope, receive, send)
        elif class_of(scope) is RouteClass.ANSWER:
            await self._app(scope, receive, send)
        else:
            body = await self._body(receive)
            await self._once(write_key(scope, principal, key, body), scope, _with_body(body, receive), send)

    async def _once(self, write: WriteKey, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            # `Deadlines`, further in, ends the handler; this ends waiting for the store as well.
            async with asyncio.timeout(2 * self._settings.request_timeout_s) as limit:
                response = await self._carried_out(write, scope, receive)
        except TimeoutError as error:
            if limit.expired():
                raise DeadlineExceeded from error
            raise
        await response.send(send)

    async def _carried_out(self, write: WriteKey, scope: Scope, receive: Receive) -> "_Recorded":
        response = _Recorded()
        with suppress(_RolledBack):
            async with self._store.once(write) as claim:
                if claim.stored is not None:
                    return _replay(claim.stored)
                await self._app(scope, receive, response.take)
                if response.status >= 500:
                    raise _RolledBack
                await (claim.keep(response.stored()) if response.is_kept else claim.drop())
        return response

    async def _leased(self, write: WriteKey, scope: Scope, receive: Receive, send: Send) -> None:
        stored = await self._store.begin(write, self._lease_s)
        if stored is not None:
            await _replay(stored).send(send)
            return
        response = _Recorded()
        try:
            async with self._held(write):
                await self._app(scope, receive, response.take)
        finally:
            await self._finish(write, response)
        await response.send(send)

    async def _finish(self, write: WriteKey, response: "_Recorded") -> None:
        try:
            await self._store.finish(write, response.stored() if response.is_kept else None)
        except Unavailable:
            log.warning("idempotency.response_not_kept")  # the lease lapses, a repetition is carried out again

    @asynccontextmanager
    async def _held(self, write: WriteKey) -> AsyncIterator[None]:
        """Renew the lease within the block."""
        renewal = asyncio.create_task(self._renew(write))
        try:
            yield
        finally:
            renewal.cancel()
            await asyncio.gather(renewal, return_exceptions=True)

    async def _renew(self, write: WriteKey) -> None:
        while True:
            await asyncio.sleep(self._lease_s / 3)
            with suppress(Unavailable):
                await self._store.extend(write, self._lease_s)

    async def _body(self, receive: Receive) -> bytes:
        """The whole body; `BodyLimit` bounds it."""
        chunks: list[bytes] = []
        try:
            async with asyncio.timeout(self._settings.request_timeout_s):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise ClientDisconnect
                    chunks.append(message.get("body", b""))
                    if not message.get("more_body", False):
                        return b"".join(chunks)
        except TimeoutError as error:
            raise DeadlineExceeded from error


def takes_key(method: str, path: str) -> bool:
    """Whether an `Idempotency-Key` means anything to such a request."""
    return method in _WRITES and path.startswith(_API) and not path.startswith(_EXEMPT)


def write_key(scope: Scope, principal: Principal, key: str, body: bytes) -> WriteKey:
    """What identifies this write: who makes it, under which key, and what it says."""
    actor: UUID = principal.key_id or principal.user_id
    print_ = fingerprint(scope["method"], scope["path"], scope.get("query_string", b""), body)
    return WriteKey.of(principal.tenant_id, actor, key, print_)


def _key(scope: Scope) -> str | None:
    if scope["type"] != "http" or not takes_key(scope["method"], scope["path"]):
        return None
    return parse_key(Headers(scope=scope).getlist("idempotency-key"))


class _RolledBack(Exception):
    """Ends the transaction of a write whose handler failed; its response is sent all the same."""


@dataclass
class _Recorded:
    """A response held back until its write is certain."""

    status: int = 500
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    body: bytearray = field(default_factory=bytearray)

    @classmethod
    def of(cls, stored: StoredResponse) -> "_Recorded":
        headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in stored.headers]
        return cls(stored.status, [*headers, (REPLAYED, b"true")], bytearray(stored.body))

    @property
    def is_kept(self) -> bool:
        """Whether the same request would be answered like this tomorrow."""
        refused = self.status in _NOT_KEPT or any(name == b"retry-after" for name, _ in self.headers)
        return 200 <= self.status < 500 and not refused and len(self.body) <= _LARGEST

    async def take(self, message: Message) -> None:
        """ASGI's `send`."""
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], list(message.get("headers", []))
        elif message["type"] == "http.response.body":
            self.body += message.get("body", b"")

    async def send(self, send: Send) -> None:
        """Send it."""
        await send({"type": "http.response.start", "status": self.status, "headers": self.headers})
        await send({"type": "http.response.body", "body": bytes(self.body)})

    def stored(self) -> StoredResponse:
        headers = tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in self.headers)
        return StoredResponse(self.status, headers, bytes(self.body))


def _replay(stored: StoredResponse) -> _Recorded:
    metrics.REPLAYED_WRITES.inc()
    return _Recorded.of(stored)


def _with_body(body: bytes, receive: Receive) -> Receive:
    """A `receive` that gives `body` first."""
    pending: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def next_message() -> Message:
        return pending.pop() if pending else await receive()

    return next_message


def _declared(scope: Scope) -> bytes:
    """What stands for the content of an upload, which is not read before it is stored: the length it is said to have.
    (Its media type names a boundary that clients choose anew for each attempt.)"""
    return Headers(scope=scope).get("content-length", "").encode("latin-1")
