"""Numbers in English words. Arguments are ASCII digits."""
# ruff: noqa: SIM905 - words in a row

_SMALL = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen"
    " eighteen nineteen"
).split()
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split(" ")
_GROUPS = ("", " thousand", " million", " billion", " trillion")
_IRREGULAR = {
    "one": "first",
    "two": "second",
    "three": "third",
    "five": "fifth",
    "eight": "eighth",
    "nine": "ninth",
    "twelve": "twelfth",
}
_LONGEST = 15
_PAST, _FUTURE = 1100, 2099


def digits(number: str) -> str:
    """Digit by digit."""
    return " ".join(_SMALL[int(digit)] for digit in number if digit.isdigit())


def cardinal(number: str) -> str:
    """A whole number. With leading zeros, or too long: digit by digit."""
    if (len(number) > 1 and number[0] == "0") or len(number) > _LONGEST:
        return digits(number)
    value = int(number)
    if value == 0:
        return "zero"
    parts: list[str] = []
    place = 0
    while value:
        value, group = divmod(value, 1000)
        if group:
            parts.insert(0, _group(group) + _GROUPS[place])
        place += 1
    return " ".join(parts)


def decimal(number: str) -> str:
    """A number that may have a fraction."""
    whole, _, fraction = number.replace(",", "").partition(".")
    return cardinal(whole or "0") + (f" point {digits(fraction)}" if fraction else "")


def ordinal(number: str) -> str:
    """Its place in a row: 21 is twenty-first."""
    head, joint, last = _last(cardinal(str(int(number))))
    if last in _IRREGULAR:
        last = _IRREGULAR[last]
    elif last.endswith("y"):
        last = last[:-1] + "ieth"
    else:
        last += "th"
    return head + joint + last


def year(number: str) -> str:
    """1999 is nineteen ninety-nine, 2005 two thousand five, 2024 twenty twenty-four."""
    value = int(number)
    high, low = divmod(value, 100)
    if not _PAST <= value <= _FUTURE or (high % 10 == 0 and low < 10):
        return cardinal(str(value))
    if low == 0:
        return f"{cardinal(str(high))} hundred"
    return f"{cardinal(str(high))} {'oh ' if low < 10 else ''}{cardinal(str(low))}"


def _group(value: int) -> str:
    """1 to 999."""
    hundreds, rest = divmod(value, 100)
    said = f"{_SMALL[hundreds]} hundred" if hundreds else ""
    if rest >= len(_SMALL):
        tens, ones = divmod(rest, 10)
        small = _TENS[tens - 2] + (f"-{_SMALL[ones]}" if ones else "")
    else:
        small = _SMALL[rest] if rest else ""
    return " ".join(part for part in (said, small) if part)


def _last(words: str) -> tuple[str, str, str]:
    """Words before the last, what joins them, the last."""
    place = max(words.rfind(" "), words.rfind("-"))
    return (words[:place], words[place], words[place + 1 :]) if place >= 0 else ("", "", words)
