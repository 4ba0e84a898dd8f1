"""Markdown, citation marks and emoji: what of them is spoken."""

import re

_FENCE = re.compile(r"^\s*(?:```|~~~)")
_CITATION = re.compile(
    r"\s?(?:\[\^?\d{1,3}(?:\s?[,，、-]\s?\d{1,3})*\](?!\()|【\d{1,3}(?:†[^】]*)?】|(?<![A-Za-z0-9])[¹²³⁰⁴-⁹]+(?=[\s。，,.]|$))"
)
_IMAGE = re.compile(r"!\[([^\]\n]*)\]\([^)\n]*\)")
_LINK = re.compile(r"\[([^\]\n]+)\]\([^)\n]*\)")
_AUTOLINK = re.compile(r"<((?:https?://|mailto:)[^>\s]+)>")
_TAG = re.compile(r"</?[A-Za-z][^<>\n]{0,80}>")
_HEADING = re.compile(r"^\s{0,3}#{1,6}\s+")
_QUOTE = re.compile(r"^\s{0,3}(?:>\s?)+")
_BULLET = re.compile(r"^\s*[-*+•·]\s+(?:\[[ xX]\]\s+)?")
_RULE = re.compile(r"^\s*(?:[-*_=]\s*){3,}$")
_EMPHASIS = re.compile(r"(\*\*\*|\*\*|__|~~|\*|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])|``?)")
_ROW = re.compile(r"^\s*\|.*\|?\s*$")
_DIVIDER = re.compile(r"^\s*\|?\s*:?-{2,}:?\s*(?:\|\s*:?-{2,}:?\s*)*\|?\s*$")
_EMOJI = re.compile(
    "[\U0001f000-\U0001faff\u2190-\u21ff\u2300-\u23ff\u2500-\u27bf\u2b00-\u2bff\ufe0e\ufe0f\u200d\u20e3\U000e0020-\U000e007f]"
)
_ARROW = re.compile(r"\s*(?:->|=>|→|⇒|➜|➡️?)\s*")
_KEYCAP = re.compile(r"([0-9])\ufe0f?\u20e3")
_STOPS = "。！？；…，、：!?;,:."
_CODE_SEEN = {"zh": "代码请看文字。", "en": "Please see the text for the code."}


class Markup:
    """Takes Markdown off, clause by clause."""

    def __init__(self) -> None:
        self._heads: list[str] = []

    def plain(self, text: str, language: str) -> str:
        """`text` as a reader would take it in."""
        if _FENCE.match(text):
            return _CODE_SEEN.get(language, _CODE_SEEN["en"])
        lines = [self._line(line, language) for line in text.splitlines()]
        return " ".join(line for line in lines if line).strip()

    def _line(self, line: str, language: str) -> str:
        if not line.strip():
            return ""
        if _ROW.match(line) and "|" in line.strip()[1:]:
            return self._row(line, language)
        self._heads = []
        if _RULE.match(line):
            return ""
        line = _QUOTE.sub("", line)
        line = _HEADING.sub("", line)
        return _inline(_BULLET.sub("", line), language).strip()

    def _row(self, line: str, language: str) -> str:
        """A row of a table: each cell after the heading of its column. The headings themselves are not read."""
        if _DIVIDER.match(line):
            return ""
        cells = [_inline(cell, language).strip() for cell in line.strip().strip("|").split("|")]
        if not self._heads:
            self._heads = cells
            return ""
        pairs = zip([*self._heads, *[""] * len(cells)], cells, strict=False)
        colon, comma, stop = ("：", "，", "。") if language == "zh" else (": ", ", ", ".")
        said = [f"{head}{colon}{cell}" if head else cell for head, cell in pairs if cell]
        return comma.join(said) + stop if said else ""


def _inline(text: str, language: str) -> str:
    text = _CITATION.sub("", text)
    text = _IMAGE.sub("", text)
    text = _LINK.sub(r"\1", text)
    text = _AUTOLINK.sub(r"\1", text)
    text = _TAG.sub(" ", text)
    text = _KEYCAP.sub(r"\1", text)
    text = _ARROW.sub("，" if language == "zh" else ", ", text)
    text = _EMPHASIS.sub("", text)
    return _EMOJI.sub("", text)
