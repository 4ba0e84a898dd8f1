"""Outermost layer: the context of a request or socket, its access log line, its metrics, its response's headers."""

import re
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from prometheus_client import Counter, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from voicehelper.config import HttpSettings
from voicehelper.context import RequestContext, use_context
from voicehelper.gateway.addresses import client_address, is_https
from voicehelper.gateway.catalogue import choose_locale
from voicehelper.gateway.classes import RouteClass, class_of, deadline_of
from voicehelper.gateway.deprecations import DEPRECATIONS, Deprecation, RawHeaders, headers_by_route
from voicehelper.gateway.middleware.rates import HEADERS as RATE_LIMIT_HEADERS
from voicehelper.ids import new_id
from voicehelper.telemetry import continue_trace, current_trace_id, describe_span, get_logger, inject, metrics

log = get_logger(__name__)

_REQUEST_ID = re.compile(r"[\w.:-]{1,64}", re.ASCII)
_TRACE = ((b"traceparent", "traceparent"), (b"tracestate", "tracestate"))
_LONGEST = 200  # of a header worth reading
_QUIET = frozenset({"/health", "/ready", "/metrics"})
_LEFT = 499  # nginx's status for a client that went away before the response
_ACCEPTED = 101
_ALWAYS: RawHeaders = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
]
_UNLESS_SET: RawHeaders = [
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cache-control", b"no-store"),
]
_HSTS: RawHeaders = [(b"strict-transport-security", b"max-age=31536000")]


@dataclass(slots=True)
class _Response:
    """What was sent. Of a socket: `status` is 101, or the code it was closed with by us; `size` counts its texts."""

    status: int = _LEFT
    size: int = 0
    complete: bool = False

    def note(self, message: Message) -> None:
        kind = message["type"]
        if kind == "http.response.body":
            self.size += len(message.get("body", b""))
            self.complete = not message.get("more_body", False)
        elif kind == "http.response.start":
            self.status = message["status"]
        elif kind == "websocket.accept":
            self.status = _ACCEPTED
        elif kind == "websocket.send":
            self.size += len(message.get("bytes") or message.get("text") or "")
        elif kind == "websocket.close":
            self.status, self.complete = message.get("code", 1000), True


class Edge:
    """Sets `RequestContext` from the headers (W3C trace, language, deadline by class of route) and accounts for the
    request. Logs hold the route's template, never the path, query, body or headers."""

    def __init__(
        self,
        app: ASGIApp,
        settings: HttpSettings,
        templates: Mapping[Any, str],
        deprecations: Sequence[Deprecation] = DEPRECATIONS,
    ) -> None:
        """`templates` gives each endpoint's path with its parameters in braces."""
        self._app = app
        self._settings = settings
        self._templates = templates
        self._deprecated = headers_by_route(deprecations)
        self._log = log.bind()  # a logger bound once: finding its configuration anew costs more than the line itself

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request or socket."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        headers: dict[bytes, bytes] = dict(scope["headers"])
        carrier = {name: headers[raw].decode("latin-1") for raw, name in _TRACE if raw in headers}
        with continue_trace(carrier, "http.request"), use_context(self._context(scope, headers)) as context:
            await self._serve(scope, receive, send, context)

    def _context(self, scope: Scope, headers: dict[bytes, bytes]) -> RequestContext:
        trace_id, carrier = current_trace_id(), inject()
        if not trace_id:  # no tracer in this process, and none before us
            trace_id = secrets.token_hex(16)
            carrier = {"traceparent": f"00-{trace_id}-{secrets.token_hex(8)}-00"}
        limit = deadline_of(class_of(scope), self._settings)
        return RequestContext(
            trace_id=trace_id,
            carrier=carrier,
            deadline=None if limit is None else time.time() + limit,
            locale=_locale(headers.get(b"accept-language", b"")[:_LONGEST]),
            request_id=_request_id(headers.get(b"x-request-id", b"")),
            address=client_address(scope, self._settings.trusted_proxies),
        )

    async def _serve(self, scope: Scope, receive: Receive, send: Send, context: RequestContext) -> None:
        response, started = _Response(), time.perf_counter()

        async def watched(message: Message) -> None:
            if message["type"] in {"http.response.start", "websocket.accept"}:
                message["headers"] = self._headers(scope, message.get("headers", ()), context)
            await send(message)
            response.note(message)

        metrics.REQUESTS_IN_FLIGHT.inc()
        try:
            await self._app(scope, receive, watched)
        finally:
            metrics.REQUESTS_IN_FLIGHT.dec()
            route = self._templates.get(scope.get("endpoint"), "unmatched")
            self._account(scope, route, response, time.perf_counter() - started, context.request_id)

    def _headers(self, scope: Scope, given: Sequence[tuple[bytes, bytes]], context: RequestContext) -> RawHeaders:
        """What the response says of its own, and what every response says."""
        headers = [
            *given,
            (b"traceparent", context.carrier.get("traceparent", "").encode()),
            (b"x-request-id", context.request_id.encode()),
            *scope["state"].get(RATE_LIMIT_HEADERS, ()),
        ]
        if scope["type"] == "websocket":
            return headers
        named = {name for name, _ in given}
        headers += _ALWAYS
        headers += [header for header in _UNLESS_SET if header[0] not in named]
        if is_https(scope, self._settings.trusted_proxies):
            headers += _HSTS
        if self._deprecated:
            route = scope["method"], self._templates.get(scope.get("endpoint"), "")
            headers += self._deprecated.get(route, ())
        return headers

    def _account(self, scope: Scope, route: str, response: _Response, seconds: float, request_id: str) -> None:
        socket, known = scope["type"] == "websocket", class_of(scope) is not RouteClass.UNKNOWN
        method = "WEBSOCKET" if socket else scope["method"] if known else "other"
        _counter(route, method, response.status).inc()
        if not socket:  # they last for hours
            _histogram(route).observe(seconds)
        facts = {"http.request.method": method, "http.route": route, "http.response.status_code": response.status}
        describe_span(f"{method} {route}", facts)
        principal = scope["state"].get("principal")
        write = self._log.debug if scope["path"] in _QUIET and response.status < 400 else self._log.info
        write(
            "socket.closed" if socket else "request.served",
            route=route,
            method=method,
            status=response.status,
            ms=round(seconds * 1000, 1),
            bytes=response.size,
            complete=response.complete,
            request_id=request_id,
            tenant_id=str(principal.tenant_id) if principal else "",
        )


def _request_id(given: bytes) -> str:
    text = given.decode("latin-1")
    return text if _REQUEST_ID.fullmatch(text) else str(new_id())


@lru_cache(1024)
def _locale(header: bytes) -> str:
    return choose_locale(header.decode("latin-1"))


@lru_cache(4096)
def _counter(route: str, method: str, status: int) -> Counter:
    return metrics.REQUESTS.labels(route, method, str(status))


@lru_cache(1024)
def _histogram(route: str) -> Histogram:
    return metrics.REQUEST_SECONDS.labels(route)
