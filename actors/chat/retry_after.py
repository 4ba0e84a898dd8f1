"""When a vendor wants to be called again, from the headers of its answer."""

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from email.utils import parsedate_to_datetime

_MOST_S = 3600.0
_SPAN = re.compile(r"(\d+(?:\.\d+)?)(ms|d|h|m|s)")
_UNIT_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_LIMITS = ("requests", "tokens", "input-tokens", "output-tokens")


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds from `now` (Unix time) until the same request may succeed, at most an hour; None where nothing says so.

    Read are, in this order: `retry-after-ms`, `retry-after` (seconds or a date), and of the limits that are used up the
    last to be reset (`x-ratelimit-reset-*` of OpenAI's kind, `anthropic-ratelimit-*-reset`).
    """
    for seconds in (_milliseconds(headers), _plain(headers, now), _reset(headers, now)):
        if seconds is not None:
            return min(max(seconds, 0.0), _MOST_S)
    return None


def _milliseconds(headers: Mapping[str, str]) -> float | None:
    value = _number(headers.get("retry-after-ms", ""))
    return None if value is None else value / 1000


def _plain(headers: Mapping[str, str], now: float) -> float | None:
    text = headers.get("retry-after", "")
    if not text or (value := _number(text)) is not None:
        return value if text else None
    with suppress(ValueError):
        return parsedate_to_datetime(text).timestamp() - now
    return None


def _reset(headers: Mapping[str, str], now: float) -> float | None:
    spent: list[float] = []
    left: list[float] = []
    for remaining, seconds in _limits(headers, now):
        (spent if remaining == "0" else left).append(seconds)
    return max(spent) if spent else min(left, default=None)


def _limits(headers: Mapping[str, str], now: float) -> Iterator[tuple[str, float]]:
    """What remains of each limit, and the seconds until it is whole again."""
    for limit in _LIMITS:
        seconds = _span(headers.get(f"x-ratelimit-reset-{limit}", ""))
        if seconds is not None:
            yield headers.get(f"x-ratelimit-remaining-{limit}", ""), seconds
        with suppress(ValueError):
            at = datetime.fromisoformat(headers.get(f"anthropic-ratelimit-{limit}-reset", ""))
            yield headers.get(f"anthropic-ratelimit-{limit}-remaining", ""), at.timestamp() - now


def _span(text: str) -> float | None:
    """`6m0s`, `20ms`, `1h2m3.5s`, or plain seconds."""
    if (value := _number(text)) is not None:
        return value
    parts = _SPAN.findall(text)
    return sum(float(number) * _UNIT_S[unit] for number, unit in parts) if parts else None


def _number(text: str) -> float | None:
    return float(text) if text.replace(".", "", 1).isdecimal() else None
