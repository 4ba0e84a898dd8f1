"""What travels with a request through every stage and hop: who asks, which trace, until when.

Set once at the edge (`use_context`), read anywhere with `current_context()`. The remote adapter in `deployments`
carries it across processes, so that no port has to name it.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class RequestContext:
    """Facts about the request being served.

    Attributes:
        tenant_id: the tenant's id, empty before authentication.
        user_id: the user's id, empty before authentication.
        key_id: the API key's id, empty without one.
        trace_id: 32 hex digits, the W3C trace id.
        carrier: W3C propagation headers (`traceparent`, `tracestate`) for the next hop.
        deadline: Unix time in seconds after which nobody waits for the answer; None for no limit.
        locale: BCP 47 tag of the language error texts are given in.
        request_id: of this request, ours or the client's.
        address: the client's IP address, as far as our proxies can be trusted; never logged whole.
    """

    tenant_id: str = ""
    user_id: str = ""
    key_id: str = ""
    trace_id: str = ""
    carrier: dict[str, str] = field(default_factory=dict)
    deadline: float | None = None
    locale: str = "zh-CN"
    request_id: str = ""
    address: str = ""

    def remaining(self, now: float | None = None) -> float | None:
        """Seconds left before the deadline (never negative), None without one."""
        if self.deadline is None:
            return None
        return max(0.0, self.deadline - (time.time() if now is None else now))


_current: ContextVar[RequestContext | None] = ContextVar("voicehelper_request", default=None)
_EMPTY = RequestContext()


def current_context() -> RequestContext:
    """The context of the request being served; an empty one outside any request."""
    return _current.get() or _EMPTY


@contextmanager
def use_context(context: RequestContext) -> Iterator[RequestContext]:
    """Make `context` current within the block (and in tasks started there)."""
    token = _current.set(context)
    try:
        yield context
    finally:
        _current.reset(token)
