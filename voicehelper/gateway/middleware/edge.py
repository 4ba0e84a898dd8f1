"""Outermost layer: the request's context, its access log line, its metrics, security headers."""

import re
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from voicehelper.config import HttpSettings
from voicehelper.context import RequestContext, use_context
from voicehelper.gateway.catalogue import choose_locale
from voicehelper.gateway.classes import RouteClass, class_of, deadline_of
from voicehelper.ids import new_id
from voicehelper.telemetry import continue_trace, current_trace_id, get_logger, inject, metrics

log = get_logger(__name__)

_REQUEST_ID = re.compile(r"[\w.:-]{1,64}", re.ASCII)
_QUIET = frozenset({"/health", "/ready", "/metrics"})
_LEFT = 499  # nginx's status for a client that went away before the response
_POLICY = "default-src 'none'; frame-ancestors 'none'"


@dataclass
class _Response:
    """What was sent."""

    status: int = _LEFT
    size: int = 0
    complete: bool = False

    def note(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
        elif message["type"] == "http.response.body":
            self.size += len(message.get("body", b""))
            self.complete = not message.get("more_body", False)


class Edge:
    """Sets `RequestContext` from the headers (W3C trace, language, deadline by class of route) and accounts for the
    request. Logs hold the route's template, never the path, query, body or headers."""

    def __init__(self, app: ASGIApp, settings: HttpSettings, templates: Mapping[Any, str]) -> None:
        """`templates` gives each endpoint's path with its parameters in braces."""
        self._app = app
        self._settings = settings
        self._templates = templates

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        carrier = {name: headers[name] for name in ("traceparent", "tracestate") if name in headers}
        with continue_trace(carrier, "http.request"), use_context(self._context(scope, headers)) as context:
            await self._serve(scope, receive, send, context, _request_id(headers))

    def _context(self, scope: Scope, headers: Headers) -> RequestContext:
        trace_id, carrier = current_trace_id(), inject()
        if not trace_id:  # no tracer in this process, and none before us
            trace_id = secrets.token_hex(16)
            carrier = {"traceparent": f"00-{trace_id}-{secrets.token_hex(8)}-00"}
        limit = deadline_of(class_of(scope["method"], scope["path"]), self._settings)
        return RequestContext(
            trace_id=trace_id,
            carrier=carrier,
            deadline=None if limit is None else time.time() + limit,
            locale=choose_locale(headers.get("accept-language", "")),
        )

    async def _serve(
        self, scope: Scope, receive: Receive, send: Send, context: RequestContext, request_id: str
    ) -> None:
        response, started = _Response(), time.perf_counter()

        async def watched(message: Message) -> None:
            if message["type"] == "http.response.start":
                _add_headers(MutableHeaders(scope=message), context, request_id)
            await send(message)
            response.note(message)

        metrics.REQUESTS_IN_FLIGHT.inc()
        try:
            await self._app(scope, receive, watched)
        finally:
            metrics.REQUESTS_IN_FLIGHT.dec()
            route = self._templates.get(scope.get("endpoint"), "unmatched")
            _account(scope, route, response, time.perf_counter() - started, request_id)


def _request_id(headers: Headers) -> str:
    given = headers.get("x-request-id", "")
    return given if _REQUEST_ID.fullmatch(given) else str(new_id())


def _add_headers(headers: MutableHeaders, context: RequestContext, request_id: str) -> None:
    headers["traceparent"] = context.carrier.get("traceparent", "")
    headers["x-request-id"] = request_id
    headers["x-content-type-options"] = "nosniff"
    headers["x-frame-options"] = "DENY"
    headers["referrer-policy"] = "no-referrer"
    headers.setdefault("content-security-policy", _POLICY)
    headers.setdefault("cache-control", "no-store")


def _account(scope: Scope, route: str, response: _Response, seconds: float, request_id: str) -> None:
    method = scope["method"] if class_of(scope["method"], "") is not RouteClass.UNKNOWN else "other"
    metrics.REQUESTS.labels(route, method, str(response.status)).inc()
    metrics.REQUEST_SECONDS.labels(route).observe(seconds)
    principal = scope.get("state", {}).get("principal")
    write = log.debug if scope["path"] in _QUIET and response.status < 400 else log.info
    write(
        "request.served",
        route=route,
        method=method,
        status=response.status,
        ms=round(seconds * 1000, 1),
        bytes=response.size,
        complete=response.complete,
        request_id=request_id,
        tenant_id=str(principal.tenant_id) if principal else "",
    )
