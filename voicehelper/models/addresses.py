"""Where an entry's requests may be sent.

Who may write an entry decides an address that our servers then call: a tenant's administrator could name the cloud's
metadata service or a neighbour inside the cluster. So a tenant's entry calls its provider's own address, or a public
host over https. Names are resolved when the entry is written. One that points elsewhere later gains nothing: nothing is
sent before the host has shown a certificate for its public name, and redirects are not followed (`actors.chat`).
The platform's administrators run the cluster: their entries may name anything.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import Final
from urllib.parse import SplitResult, urlsplit

from voicehelper.errors import InvalidInput

Resolve = Callable[[str], Awaitable[Sequence[str]]]
"""Addresses of a host name; raises `OSError` where it has none."""

_PATIENCE_S = 5.0
_HTTPS = 443
_TRANSLATED: Final = ipaddress.ip_network("64:ff9b::/96")  # NAT64: the last 32 bits are an IPv4 address
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


async def check_address(field: str, url: str, *, trusted: bool, resolve: Resolve) -> None:
    """Raises `InvalidInput`, naming `field`, for a `url` that is none, or that only `trusted` writers may name."""
    parts = _split(field, url)
    if trusted:
        return
    if parts.scheme != "https":
        raise InvalidInput("The address must begin with https://", {"field": field})
    try:
        async with asyncio.timeout(_PATIENCE_S):
            addresses = await resolve(parts.hostname or "")
    except (OSError, UnicodeError, TimeoutError) as error:
        raise InvalidInput("The host of the address cannot be found", {"field": field}) from error
    if not addresses or not all(is_public(address) for address in addresses):
        raise InvalidInput("The host of the address is not a public one", {"field": field})


def is_public(address: str) -> bool:
    """Whether an IP address belongs to the internet, and to one host."""
    try:
        parsed = _embedded(ipaddress.ip_address(address.partition("%")[0]))
    except ValueError:
        return False
    return parsed.is_global and not parsed.is_multicast and not parsed.is_reserved


async def resolve_host(host: str) -> Sequence[str]:
    """`Resolve` by the system's resolver; also reads the odd spellings of addresses that HTTP clients accept."""
    found = await asyncio.get_running_loop().getaddrinfo(host, _HTTPS, type=socket.SOCK_STREAM)
    return [str(address[0]) for *_, address in found]


def _split(field: str, url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        sound = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError as error:
        raise InvalidInput("The address is not a URL", {"field": field}) from error
    if not sound or "@" in parts.netloc or parts.query or parts.fragment or not url.isascii():
        raise InvalidInput("The address must be a plain http(s) URL", {"field": field})
    return parts


def _embedded(address: _Address) -> _Address:
    """The IPv4 address that an IPv6 one stands for, where it does."""
    if isinstance(address, ipaddress.IPv6Address):
        if address in _TRANSLATED:
            return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        return address.ipv4_mapped or address.sixtofour or address
    return address
