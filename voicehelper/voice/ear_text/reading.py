"""Plain text to the words that are said."""

import re

_NOTHING = re.compile(r"[\W_]*")


def read_aloud(text: str, language: str) -> str:
    """The words of `text`; empty where it holds none. `language`: `zh` or `en`."""
    return "" if _NOTHING.fullmatch(text) else text.strip()
