"""Routes on their way out: the one table behind the headers `Deprecation` (RFC 9745) and `Sunset` (RFC 8594).

A route is announced here at least three months before it is deprecated and six before it is gone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Final

RawHeaders = list[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class Deprecation:
    """One route.

    Attributes:
        method, path: as routed, parameters in braces.
        since: from when on it should not be used any more; may lie ahead. UTC.
        sunset: when it will be gone. UTC.
        successor: path of what to use instead, if there is anything.
    """

    method: str
    path: str
    since: datetime
    sunset: datetime
    successor: str = ""

    def headers(self) -> RawHeaders:
        """What every response of the route says."""
        found = [
            (b"deprecation", f"@{int(self.since.timestamp())}".encode()),
            (b"sunset", format_datetime(self.sunset.astimezone(UTC), usegmt=True).encode()),
        ]
        if self.successor:
            found.append((b"link", f'<{self.successor}>; rel="successor-version"'.encode()))
        return found


DEPRECATIONS: Final[tuple[Deprecation, ...]] = ()
"""The table. Empty: nothing is on its way out."""


def headers_by_route(table: Sequence[Deprecation]) -> dict[tuple[str, str], RawHeaders]:
    """Headers by method and path."""
    return {(entry.method, entry.path): entry.headers() for entry in table}
