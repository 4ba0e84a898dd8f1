"""Takes personal data and secrets out of text that goes to logs, traces and audit rows.

Covers what a Chinese and an English customer service meets: mobile, landline and international numbers, e-mail
addresses, resident identity card numbers (18 and 15 digits), bank card numbers (Luhn-checked), bearer tokens, JWTs, our
API keys and refresh tokens, passwords in URLs. Ids of ours (UUIDs, trace ids, digests) stay as they are.
"""

import re
from collections.abc import Mapping, Sequence, Set
from datetime import date, timedelta
from enum import Enum
from functools import lru_cache
from typing import Any
from uuid import UUID

_SECRET_KEYS = re.compile(r"password|passwd|secret|token|api_?key|authorization|credential|cookie", re.IGNORECASE)

# Nothing to find without one of these: most of what is logged is names and small numbers.
_SUSPECT = re.compile(r"(?:\d[^\da-zA-Z]{0,2}){7}|@|%40|://|eyJ|[-_]\w{12}|bearer|basic", re.IGNORECASE)
_FULL_WIDTH = str.maketrans("０１２３４５６７８９＠．＋－", "0123456789@.+-")

_SECRETS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"eyJ[\w-]{5,}\.[\w-]+\.[\w-]*"), "[jwt]"),
    (re.compile(r"(?i)\b(bearer|basic)[\s.]+[\w.~+/=-]{8,}"), r"\1 [token]"),
    (re.compile(r"(?<![A-Za-z0-9])(?:sk|pk|vh[kr]?)[-_][\w-]{12,}"), "[key]"),
    (re.compile(r"(?<=://)[^\s/:@]*:[^\s/@]+(?=@)"), "[credentials]"),
)
_OUR_IDS = re.compile(
    r"(?<![0-9A-Za-z])("
    r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
    r"|(?=\d*[a-f])(?:[0-9a-f]{64}|[0-9a-f]{40}|[0-9a-f]{32}|[0-9a-f]{16})"
    r")(?![0-9A-Za-z])"
)
_ID_CARD = (
    r"(?<![0-9A-Za-z.])[1-9]\d{5}[ -]?(?:"
    r"(?:19|20)\d{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])[ -]?\d{3}[\dXx]"
    r"|\d{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])\d{3}"
    r")(?![0-9A-Za-z])"
)
_PERSONAL: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"[\w.+%-]{1,64}(?:@|%40)[\w-]+(?:\.[\w-]+)+"), "[email]"),
    (re.compile(_ID_CARD), "[id]"),
    (re.compile(r"(?<![\d.])(?:(?:\+|00)?86[- ]?)?1[3-9]\d[- ]?\d{4}[- ]?\d{4}(?!\d)"), "[phone]"),
    (re.compile(r"(?<![\d.])(?:\(0\d{2,3}\)[ -]?|0\d{2,3}[ -])\d{7,8}(?!\d)"), "[phone]"),
    (re.compile(r"(?<![\w.])\+[1-9](?:[ ()-]{0,2}\d){7,14}(?!\d)"), "[phone]"),
)
_CARD = re.compile(r"(?<![\d.])\d(?:[ -]?\d){13,18}(?!\.?\d)")
_SHORT = 48
_ID_LENGTHS = frozenset({16, 32, 36})
_SHORTEST_NUMBER = 10**10  # the shortest number that names somebody has 11 digits


def redact(text: str) -> str:
    """`text` with personal data and secrets replaced by their kind in brackets."""
    if len(text) in _ID_LENGTHS and _OUR_IDS.fullmatch(text):  # two of them come with every line, each time new ones
        return text
    return _redact_known(text) if len(text) <= _SHORT else _redact(text)


def _redact(text: str) -> str:
    text = text.translate(_FULL_WIDTH) if not text.isascii() else text
    if _SUSPECT.search(text) is None or _OUR_IDS.fullmatch(text):
        return text
    for pattern, replacement in _SECRETS:
        text = pattern.sub(replacement, text)
    parts = _OUR_IDS.split(text)  # every second one is an id
    parts[::2] = map(_redact_personal, parts[::2])
    return "".join(parts)


_redact_known = lru_cache(512)(_redact)  # names of components, events, routes come with every line


def redact_value(key: str, value: Any) -> Any:
    """A log field made safe: secret-named keys lose their value, whatever can hold text is redacted at any depth."""
    if type(value) is str:
        return "[secret]" if _is_secret(key) else redact(value)
    if isinstance(value, bool | float | None):
        return value
    if isinstance(value, int):
        return value if abs(value) < _SHORTEST_NUMBER or redact(str(value)) == str(value) else redact(str(value))
    if _is_secret(key):
        return "[secret]"
    if isinstance(value, UUID | date | timedelta):
        return value
    return _redact_structure(key, value)


@lru_cache(512)
def _is_secret(key: str) -> bool:
    return _SECRET_KEYS.search(key) is not None


def _redact_structure(key: str, value: Any) -> Any:
    if isinstance(value, Enum):
        return redact_value(key, value.value)
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, Mapping):
        return {redact(str(name)): redact_value(str(name), item) for name, item in value.items()}
    if isinstance(value, bytes | bytearray | memoryview):
        return "[bytes]"
    if isinstance(value, Sequence | Set):
        return [redact_value(key, item) for item in value]
    return redact(str(value))  # an exception, a path, an object of some library


def _redact_personal(text: str) -> str:
    for pattern, replacement in _PERSONAL:
        text = pattern.sub(replacement, text)
    return _CARD.sub(_redact_card, text)


def _redact_card(match: re.Match[str]) -> str:
    digits = [int(char) for char in match[0] if char.isdigit()]
    doubled = (digit if i % 2 == 0 else sum(divmod(2 * digit, 10)) for i, digit in enumerate(reversed(digits)))
    return "[card]" if sum(doubled) % 10 == 0 else match[0]
