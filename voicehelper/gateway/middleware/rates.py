"""How often anybody may ask: one round trip to the counters for each request."""

from collections.abc import Sequence
from functools import lru_cache, partial

from starlette.types import ASGIApp, Receive, Scope, Send

from voicehelper.context import current_context
from voicehelper.errors import RateLimited, Unauthenticated
from voicehelper.gateway.classes import class_of
from voicehelper.gateway.middleware.authentication import is_guarded
from voicehelper.gateway.quotas import Rates
from voicehelper.limits import Limit, Verdict
from voicehelper.telemetry import metrics

UNCOUNTED = frozenset({"/health", "/ready", "/metrics"})
HEADERS = "rate_limit_headers"


class AddressLimit:
    """Counts by address who is not known: requests that need no token, and those whose token was refused.

    Those of somebody known are counted by `PrincipalLimits`, address included. An address that is over its limit gets
    no further than this.
    """

    def __init__(self, app: ASGIApp, rates: Rates) -> None:
        self._app = app
        self._gate = _Gate(rates)
        self._quotas = rates.quotas

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request or socket. Raises `RateLimited`."""
        if scope["type"] == "lifespan" or scope["path"] in UNCOUNTED:
            await self._app(scope, receive, send)
            return
        limits = self._quotas.of_address(class_of(scope), current_context().address)
        if not is_guarded(scope["path"]):
            await self._gate.pass_or_raise(scope, limits)
            await self._app(scope, receive, send)
            return
        self._gate.raise_if_known(scope, limits)
        try:
            await self._app(scope, receive, send)
        except Unauthenticated:
            if "principal" not in scope["state"]:
                await self._gate.pass_or_raise(scope, limits)
            raise


class PrincipalLimits:
    """Counts what is asked by somebody known: by address, user or key, tenant and class of route."""

    def __init__(self, app: ASGIApp, rates: Rates) -> None:
        self._app = app
        self._gate = _Gate(rates)
        self._quotas = rates.quotas

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request or socket. Raises `RateLimited`."""
        principal = scope["state"].get("principal") if scope["type"] != "lifespan" else None
        if principal is not None:
            limits = self._quotas.of_principal(class_of(scope), current_context().address, principal)
            await self._gate.pass_or_raise(scope, limits)
        await self._app(scope, receive, send)


class _Gate:
    """Asks the limiter and notes what the response's headers say; `Edge` adds them."""

    def __init__(self, rates: Rates) -> None:
        self._limiter = rates.limiter
        self._policy = lru_cache(256)(partial(_policy, rates.window_s))

    async def pass_or_raise(self, scope: Scope, limits: Sequence[Limit]) -> None:
        if limits:
            self._apply(scope, limits, await self._limiter.acquire(limits))

    def raise_if_known(self, scope: Scope, limits: Sequence[Limit]) -> None:
        refusal = self._limiter.known_refusal(limits)
        if refusal is not None:
            self._apply(scope, limits, refusal)

    def _apply(self, scope: Scope, limits: Sequence[Limit], verdict: Verdict) -> None:
        limit = limits[verdict.place]
        scope["state"][HEADERS] = [
            (b"ratelimit-policy", self._policy(tuple((limit.name, limit.quota) for limit in limits))),
            (b"ratelimit", f'"{limit.name}";r={verdict.remaining};t={int(verdict.reset) + 1}'.encode()),
        ]
        if not verdict.allowed:
            metrics.RATE_LIMITED.labels(limit.name).inc()
            raise RateLimited(details={"limit": limit.name}, retry_after=verdict.reset)


def _policy(window_s: int, named: tuple[tuple[str, int], ...]) -> bytes:
    """The RateLimit-Policy field of draft-ietf-httpapi-ratelimit-headers-10."""
    return ", ".join(f'"{name}";q={quota};w={window_s}' for name, quota in named).encode()
