"""Cleaning of extracted text: what a reader never sees goes, what a reader sees stays.

NFC, not NFKC: NFKC would turn "，" into ",", "①" into "1" and "m²" into "m2". Only forms that are mere typesetting are
folded: fullwidth letters and digits, ligatures, halfwidth kana and the radical code points that PDF fonts emit.
"""

import re
import unicodedata

_SPACES = re.compile(r"[^\S\n]+")
_LINE_BREAKS = re.compile(r"\r\n?|[\v\f\x1c-\x1e\x85\u2028\u2029]")
_JOINERS = re.compile(
    r"(?<=[\x00-\x7f\u2e80-\u9fff])[\u200c\u200d]+|^[\u200c\u200d]+|[\u200c\u200d]+(?=[\x00-\x7f\u2e80-\u9fff]|$)"
)
_TYPESETTING = (
    (0xFF10, 0xFF19),  # fullwidth digits
    (0xFF21, 0xFF3A),  # fullwidth capitals
    (0xFF41, 0xFF5A),  # fullwidth small letters
    (0xFF61, 0xFF9F),  # halfwidth kana and punctuation
    (0xFB00, 0xFB06),  # Latin ligatures
    (0x2E80, 0x2EFF),  # CJK radicals supplement
    (0x2F00, 0x2FDF),  # Kangxi radicals
)
_FOLDED = {
    code: unicodedata.normalize("NFKC", chr(code)) for low, high in _TYPESETTING for code in range(low, high + 1)
}
# Radicals that Unicode does not fold, or folds to the traditional form (U+2F3E).
_SIMPLIFIED_RADICALS = (
    "⼾户⺠民⻄西⻅见⻆角⻉贝⻋车⻓长⻔门⻘青⻙韦⻚页⻛风⻜飞⻝食⻢马⻣骨⻤鬼⻥鱼⻦鸟⻨麦⻩黄⻬齐⻮齿⻰龙⻳龟"
)
_FOLDED |= {
    ord(radical): char for radical, char in zip(_SIMPLIFIED_RADICALS[::2], _SIMPLIFIED_RADICALS[1::2], strict=True)
}
_INVISIBLE = dict.fromkeys(
    [0x00AD, 0x180E, 0x200B, 0x200E, 0x200F, 0x2060, 0xFEFF, 0xFFFD, *range(0x202A, 0x202F), *range(0x2061, 0x206A)]
)
_TRANSLATION = _FOLDED | _INVISIBLE | {0x09: " ", 0x3000: " "}
_UNPRINTABLE = re.compile(
    r"[\x00-\x08\x0e-\x1b\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ue000-\uf8ff\ufdd0-\ufdef\ufffe\uffff]"
)


def clean_line(text: str) -> str:
    """`text` as one line: cleaned, with every run of white space and line breaks made one space."""
    return clean_text(text).replace("\n", " ")


def clean_text(text: str) -> str:
    """Cleaned text: no control, private or invisible characters, NFC, single spaces, no blank or padded lines."""
    lines = (_SPACES.sub(" ", line).strip() for line in _characters(text).split("\n"))
    return "\n".join(line for line in lines if line)


def clean_code(text: str) -> str:
    """Like `clean_text`, but keeps the indentation of each line."""
    lines = (line.expandtabs(4).rstrip() for line in _characters(text, keep_tabs=True).split("\n"))
    return "\n".join(line for line in lines if line)


def _characters(text: str, keep_tabs: bool = False) -> str:
    text = _LINE_BREAKS.sub("\n", text)
    if text.isascii():
        return _UNPRINTABLE.sub("", text)
    table = {**_TRANSLATION, 0x09: "\t"} if keep_tabs else _TRANSLATION
    text = _UNPRINTABLE.sub("", text).translate(table)
    return unicodedata.normalize("NFC", _JOINERS.sub("", text))
