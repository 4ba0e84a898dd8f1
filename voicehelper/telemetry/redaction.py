"""Takes personal data and secrets out of text that goes to logs, traces and audit rows.

Covers what a Chinese and an English customer service meets: mobile and landline numbers, e-mail addresses, resident
identity card numbers, bank card numbers (Luhn-checked), bearer tokens, JWTs, API keys and passwords in URLs.
"""

import re
from collections.abc import Callable
from typing import Any

_SECRET_KEYS = re.compile(r"password|passwd|secret|token|api_?key|authorization|credential|cookie", re.IGNORECASE)
_CARD = re.compile(r"(?<![\d.])\d(?:[ -]?\d){12,18}(?!\.?\d)")
_RULES: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"\beyJ[\w-]+\.[\w-]+\.[\w-]*"), "[jwt]"),
    (re.compile(r"(?i)\b(bearer|basic)\s+[\w.~+/=-]{8,}"), r"\1 [token]"),
    (re.compile(r"\b(?:sk|pk|vh)[-_][\w-]{12,}"), "[key]"),
    (re.compile(r"(?<=://)[^\s/:@]+:[^\s/@]+(?=@)"), "[credentials]"),
    (re.compile(r"[\w.+-]{1,64}@[\w-]+(?:\.[\w-]+)+"), "[email]"),
    (
        re.compile(
            r"(?<![0-9A-Za-z])[1-9]\d{5}(?:19|20)\d{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])\d{3}[\dXx](?!\w)"
        ),
        "[id]",
    ),
    (re.compile(r"(?<![\d.])(?:\+?86[- ]?)?1[3-9]\d[- ]?\d{4}[- ]?\d{4}(?!\d)"), "[phone]"),
    (re.compile(r"(?<![\d.])0\d{2,3}-\d{7,8}(?!\d)"), "[phone]"),
)


def redact(text: str) -> str:
    """`text` with personal data and secrets replaced by their kind in brackets."""
    for pattern, replacement in _RULES:
        text = pattern.sub(replacement, text)
    return _CARD.sub(_redact_card, text)


def redact_value(key: str, value: Any) -> Any:
    """A log field made safe: secret-named keys lose their value, strings (nested ones too) are redacted."""
    if _SECRET_KEYS.search(key) and not isinstance(value, bool | int | float):
        return "[secret]"
    return _BY_TYPE.get(type(value), _as_is)(key, value)


def _redact_card(match: re.Match[str]) -> str:
    digits = [int(char) for char in match[0] if char.isdigit()]
    doubled = (digit if i % 2 == 0 else sum(divmod(2 * digit, 10)) for i, digit in enumerate(reversed(digits)))
    return "[card]" if sum(doubled) % 10 == 0 else match[0]


def _as_is(_key: str, value: Any) -> Any:
    return value


_BY_TYPE: dict[type, Callable[[str, Any], Any]] = {
    str: lambda _key, value: redact(value),
    dict: lambda _key, value: {k: redact_value(str(k), v) for k, v in value.items()},
    list: lambda key, value: [redact_value(key, item) for item in value],
    tuple: lambda key, value: [redact_value(key, item) for item in value],
}
