"""The client's address and scheme, as far as proxies of ours vouch for them."""

import ipaddress
from collections.abc import Iterable
from functools import lru_cache

from starlette.types import Scope

_LONGEST = 64


def client_address(scope: Scope, proxies: int) -> str:
    """The client's IP address; empty where there is none (a test client, a UNIX socket).

    Each proxy appends to X-Forwarded-For whom it was called by, so with `proxies` of them the address that the first
    of ours saw stands `proxies` places before the end; what stands before that, anybody can have written.
    """
    client = scope.get("client")
    direct = client[0] if client else ""
    if not proxies:
        return _address(direct)
    hops = [hop.strip() for hop in _values(scope, b"x-forwarded-for") if hop.strip()]
    seen = hops[-proxies:]
    return (_address(seen[0][:_LONGEST]) if seen else "") or _address(direct)


def is_https(scope: Scope, proxies: int) -> bool:
    """Whether the client came over TLS: to us, or to a proxy of ours."""
    if scope.get("scheme") in {"https", "wss"}:
        return True
    protocols = _values(scope, b"x-forwarded-proto")[-proxies:] if proxies else []
    return bool(protocols) and protocols[0].strip().lower() in {"https", "wss"}


@lru_cache(4096)
def _address(text: str) -> str:
    """The address in `1.2.3.4`, `1.2.3.4:567`, `2001:db8::1` or `[2001:db8::1]:567`, normalised."""
    bare = text.partition("]")[0].removeprefix("[") if text.startswith("[") else text
    if bare.count(":") == 1:
        bare = bare.partition(":")[0]
    try:
        return str(ipaddress.ip_address(bare))
    except ValueError:
        return ""


def _values(scope: Scope, name: bytes) -> list[str]:
    lines: Iterable[str] = (value.decode("latin-1") for key, value in scope["headers"] if key == name)
    return ",".join(lines).split(",")
