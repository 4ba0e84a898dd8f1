"""Tokens of a text without its tokenizer."""

import re

_CJK = re.compile(r"[\u3000-\u30ff\u3400-\u9fff\uf900-\ufaff\uff00-\uffef]")


def estimate_tokens(text: str) -> int:
    """An upper-side estimate: one token for each CJK character or mark, one for each three other characters.

    Current tokenizers need 0.6 to 1.1 tokens a Chinese character and about one for four of English; budgets that are
    kept by this estimate are kept in truth.
    """
    wide = len(_CJK.findall(text))
    return wide + (len(text) - wide + 2) // 3
