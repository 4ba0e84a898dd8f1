"""Names of counters that say nothing about people."""

import hashlib
import ipaddress
from collections.abc import Callable
from functools import lru_cache

_IPV6_PREFIX = 64  # what one subscriber gets: single addresses of it are free for the taking
_REMEMBERED = 4096


class AddressNames:
    """Keyed hashes of the networks that addresses belong to: an IPv4 address by itself, an IPv6 address by its /64.

    The hash is keyed because there are few enough IPv4 addresses to try them all.
    """

    def __init__(self, key: bytes) -> None:
        """`key`: the same on every replica, at most 64 bytes."""
        self._key = key
        self.name: Callable[[str], str] = lru_cache(_REMEMBERED)(self._hash)
        """22 letters for an address; all that is no IP address shares one name."""

    def _hash(self, address: str) -> str:
        return hashlib.blake2b(network(address).encode(), digest_size=11, key=self._key).hexdigest()


def network(address: str) -> str:
    """What is limited as one: `192.0.2.7` for itself and its IPv6 spelling, `2001:db8::/64`, empty for no address."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return ""
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((int(parsed), _IPV6_PREFIX), strict=False))
