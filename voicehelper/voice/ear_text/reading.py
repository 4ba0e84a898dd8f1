"""Plain text to the words that are said."""

import re

from voicehelper.voice.ear_text import en, zh

_NOTHING = re.compile(r"[\W_]*")
_LEADING = re.compile(r"^[\s，。！？；：、,.!?;:…—–\-·]+")
_URL = re.compile(
    r"(?:https?://|(?<![A-Za-z0-9_.])www\.)(?P<host>[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+)(?::\d+)?"
    r"(?:[/?#](?:[^\s，。；、！？：（）()【】「」“”<>\"]*[^\s，。；、！？：（）()【】「」“”<>\".,;:!?])?)?"
)
_EMAIL = re.compile(r"(?P<user>[A-Za-z0-9][\w.+-]*)@(?P<host>[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+)")
_DOMAIN = re.compile(
    r"(?<![A-Za-z0-9_@.])(?P<host>[A-Za-z][A-Za-z0-9-]*(?:\.[A-Za-z0-9-]+)*\.(?:com|cn|net|org|io|ai|dev|app|gov|edu)"
    r"(?:\.cn)?)"
    r"(?![A-Za-z0-9_.]*@|[A-Za-z0-9_])(?:/[^\s，。；、]*)?"
)
_ACRONYM = re.compile(r"(?<![A-Za-z.])(?P<word>[A-Z]{2,5})(?P<more>s)?(?![A-Za-z])")
_HAN_LATIN = re.compile(r"(?<=[\u4e00-\u9fff])(?=[A-Za-z])|(?<=[A-Za-z])(?=[\u4e00-\u9fff])")
# Said as words.
_WORDS = frozenset(
    (
        "OK",
        "WIFI",
        "NASA",
        "PIN",
        "SIM",
        "RAM",
        "ROM",
        "APP",
        "LED",
        "NO",
        "YES",
        "NOT",
        "AND",
        "OR",
        "ALL",
        "IF",
        "NEW",
        "FREE",
    )
)
_LONGEST_HOST = 24
_DOT = {"zh": " 点 ", "en": " dot "}
_LINK = {"zh": "链接", "en": "the link"}
_WIDE = (*range(0xFF10, 0xFF1A), *range(0xFF21, 0xFF3B), *range(0xFF41, 0xFF5B), *map(ord, "％＋－＝＄＆＠／"))
_WIDTH = {**{wide: wide - 0xFEE0 for wide in _WIDE}, ord("￡"): "£", 0x3000: " ", 0xA0: " "}


def read_aloud(text: str, language: str) -> str:
    """The words of `text`; empty where it holds none. `language`: `zh` or `en`."""
    spoken = text.translate(_WIDTH)
    known = "zh" if language == "zh" else "en"
    spoken = _addresses(spoken, known)
    rules, signs = (zh.RULES, zh.SIGNS) if known == "zh" else (en.RULES, en.SIGNS)
    for pattern, words in (*rules, *signs):
        spoken = pattern.sub(words, spoken)
    spoken = _ACRONYM.sub(_acronym, spoken)
    if known == "zh":
        spoken = _HAN_LATIN.sub(" ", spoken)
    spoken = _LEADING.sub("", " ".join(spoken.split()))
    return "" if _NOTHING.fullmatch(spoken) else spoken


def _addresses(text: str, language: str) -> str:
    """Of a link its host, if that is short; what stands behind it nobody remembers."""

    def host(found: re.Match[str]) -> str:
        name = found["host"].removeprefix("www.")
        short = len(name) <= _LONGEST_HOST and not re.search(r"\d", name)
        return f" {name.replace('.', _DOT[language])} " if short else _LINK[language]

    def mail(found: re.Match[str]) -> str:
        return f" {found['user']} at {found['host']} ".replace(".", _DOT[language])

    return _DOMAIN.sub(host, _EMAIL.sub(mail, _URL.sub(host, text)))


def _acronym(found: re.Match[str]) -> str:
    word = found["word"]
    return found.group() if word in _WORDS else " ".join(word) + ("s" if found["more"] else "")
