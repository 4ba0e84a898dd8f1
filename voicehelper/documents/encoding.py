"""From bytes to text. A wrong guess would be indexed as garbage, so what is not clear fails."""

import codecs
import re

from voicehelper.documents.failures import failure
from voicehelper.documents.model import FailureReason

_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_ALIASES = {"gb2312": "gb18030", "gbk": "gb18030", "big5": "big5hkscs", "iso-8859-1": "cp1252", "latin-1": "cp1252"}
_SAMPLE = 200_000
_HAN = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]")
_ORDINARY = re.compile(
    r"[\n\r\t\x20-\x7e\u00b0\u00b1\u00b2\u00d7\u2010-\u2027\u2030\u2103\u2190-\u2199\u2460-\u249b\u3000-\u3017\uff01-\uff5e]"
)
_FREQUENT = frozenset(
    "的一是不了在有人我他这中大来上个到说们为子和你地出道也时年得就那要下以生会自着去之过家学对可里后么用天能多然于心小"
    "起事日行发方经看样成现分前面定法公同已本其机主力明开长如把它请者及或商品订单退款货日内元保修费服务使用"
    "這個來說們為時會對過後麼樣現學經發開長機請貨單內費務產證購買關"
)
_MIN_HAN = 4


def decode(data: bytes, declared: str = "") -> str:
    """The text of `data`, by byte order mark, UTF-8, the `declared` charset, then by what the characters look like.

    Raises `UnprocessableDocument` with reason ENCODING when no reading is clearly right, MISMATCH for binary data.
    """
    for mark, name in _BOMS:
        if data.startswith(mark):
            return _strictly(data, name) or _refuse()
    if b"\0" in data[:_SAMPLE]:
        return _utf16_without_mark(data)
    text = _strictly(data, "utf-8")
    if text is not None:
        return text
    return _declared(data, declared) or _chinese(data) or _western(data) or _refuse()


def _strictly(data: bytes, name: str) -> str | None:
    try:
        return data.decode(name)
    except (UnicodeDecodeError, LookupError):
        return None


def _refuse() -> str:
    raise failure(FailureReason.ENCODING)


def _declared(data: bytes, declared: str) -> str | None:
    name = declared.strip().strip("\"'").lower()
    if not name or name.startswith(("utf-8", "utf8")):
        return None
    text = _strictly(data, _ALIASES.get(name, name))
    return text if text is not None and (_plausible(text) or not _HAN.search(text)) else None


def _utf16_without_mark(data: bytes) -> str:
    for name in ("utf-16-le", "utf-16-be"):
        text = _strictly(data, name)
        if text is not None and "\0" not in text and _plausible(text):
            return text
    raise failure(FailureReason.MISMATCH)


def _chinese(data: bytes) -> str | None:
    """GB18030 or Big5, if exactly one of them reads as ordinary Chinese."""
    readings = {name: _strictly(data, name) for name in ("gb18030", "big5hkscs")}
    good = {name: text for name, text in readings.items() if text is not None and _plausible(text, name)}
    return next(iter(good.values())) if len(good) == 1 else None


def _plausible(text: str, name: str = "") -> bool:
    """Whether `text` looks like something people wrote: ordinary characters, and frequent ones among the Chinese."""
    sample = text[:_SAMPLE]
    han = _HAN.findall(sample)
    ordinary = len(_ORDINARY.findall(sample))
    if (len(han) + ordinary) < 0.97 * len(sample):
        return False
    if not han:
        return name == ""
    if len(han) < _MIN_HAN:
        return False
    frequent = sum(char in _FREQUENT for char in han) / len(han)
    return frequent >= 0.08 and _level_one_share(han, name) >= 0.9


def _level_one_share(han: list[str], name: str) -> float:
    """Share of characters in the common half of the charset: rows 16-55 of GB 2312, or level 1 of Big5."""
    lead = {"gb18030": (0xB0, 0xD7), "big5hkscs": (0xA4, 0xC6)}.get(name)
    if lead is None:
        return 1.0
    codes = (char.encode(name) for char in han)
    common = sum(len(code) == 2 and lead[0] <= code[0] <= lead[1] and code[1] >= _trail(name) for code in codes)
    return common / len(han)


def _trail(name: str) -> int:
    return 0xA1 if name == "gb18030" else 0x40


def _western(data: bytes) -> str | None:
    """Windows-1252, if the detector is sure: few odd bytes between plain ASCII words."""
    from charset_normalizer import from_bytes  # noqa: PLC0415  (70 ms, rarely needed)

    high = sum(byte >= 0x80 for byte in data[:_SAMPLE])
    if high > 0.25 * min(len(data), _SAMPLE):
        return None
    best = from_bytes(data[:_SAMPLE], cp_isolation=["cp1252"], threshold=0.1).best()
    return _strictly(data, "cp1252") if best is not None and best.chaos <= 0.05 else None
