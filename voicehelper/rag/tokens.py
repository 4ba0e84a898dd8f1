"""Prompt length without asking the model: a call over a process boundary for each candidate sentence costs more than
the precision is worth. Fitted on the default model's tokenizer (docs/answering.md)."""

import re

_HAN = re.compile(r"[\u3400-\u9fff]")
_PIECE = re.compile(r"[A-Za-z]+|\d|[^\w\s]")
_TOKENS_PER_HAN = 0.79


def estimate_tokens(text: str) -> int:
    """About how many tokens `text` is."""
    pieces = _PIECE.findall(text)
    return round(len(_HAN.findall(text)) * _TOKENS_PER_HAN + sum(1 + len(piece) // 9 for piece in pieces))
