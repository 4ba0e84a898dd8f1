"""English: figures, dates, prices and signs in words. Rules apply in order; each leaves no digits for the next."""
# ruff: noqa: E501, SIM905 - tables of patterns read better one to a line

import re
from collections.abc import Callable

from voicehelper.voice.ear_text.numbers_en import cardinal, decimal, digits, ordinal, year

Rule = tuple[re.Pattern[str], Callable[[re.Match[str]], str] | str]

_N = r"\d+(?:,\d{3})*(?:\.\d+)?"
_TO = r"\s?(?:-|–|—|~)\s?"
_MONTHS = "January February March April May June July August September October November December".split(" ")
_MONTH = r"(?P<month>Jan(?:uary)?|Feb(?:ruary)?|Mar(?:ch)?|Apr(?:il)?|May|June?|July?|Aug(?:ust)?|Sept?(?:ember)?|Oct(?:ober)?|Nov(?:ember)?|Dec(?:ember)?)\.?"
_UNITS = {
    "kg": "kilogram",
    "g": "gram",
    "mg": "milligram",
    "km": "kilometer",
    "m": "meter",
    "cm": "centimeter",
    "mm": "millimeter",
    "ml": "milliliter",
    "mL": "milliliter",
    "L": "liter",
    "l": "liter",
    "lb": "pound",
    "lbs": "pound",
    "oz": "ounce",
    "ft": "foot",
    "mi": "mile",
    "mph": "mile per hour",
    "km/h": "kilometer per hour",
    "GB": "gigabyte",
    "TB": "terabyte",
    "MB": "megabyte",
    "KB": "kilobyte",
    "Mbps": "megabit per second",
    "W": "watt",
    "kW": "kilowatt",
    "kWh": "kilowatt hour",
    "mAh": "milliamp hour",
    "V": "volt",
    "Hz": "hertz",
    "kHz": "kilohertz",
    "MHz": "megahertz",
    "GHz": "gigahertz",
    "h": "hour",
    "hr": "hour",
    "hrs": "hour",
    "min": "minute",
    "mins": "minute",
    "sec": "second",
    "ms": "millisecond",
    "px": "pixel",
    "dB": "decibel",
    "°C": "degree Celsius",
    "℃": "degree Celsius",
    "°F": "degree Fahrenheit",
    "℉": "degree Fahrenheit",
    "°": "degree",
    "m²": "square meter",
    "kcal": "kilocalorie",
}
_PLURALS = {
    "foot": "feet",
    "hertz": "hertz",
    "kilohertz": "kilohertz",
    "megahertz": "megahertz",
    "gigahertz": "gigahertz",
}
_MONEY = {
    "$": ("dollar", "cent"),
    "US$": ("dollar", "cent"),
    "USD": ("dollar", "cent"),
    "€": ("euro", "cent"),
    "EUR": ("euro", "cent"),
    "£": ("pound", "pence"),
    "GBP": ("pound", "pence"),
    "￥": ("yuan", ""),
    "¥": ("yuan", ""),
    "RMB": ("yuan", ""),
    "CNY": ("yuan", ""),
    "HK$": ("Hong Kong dollar", "cent"),
    "JPY": ("yen", ""),
}
_SAME = frozenset({"yuan", "yen", "pence"})
_ABBREVIATIONS: tuple[Rule, ...] = tuple(
    (re.compile(rf"(?<![A-Za-z]){short}(?![A-Za-z])"), long)
    for short, long in (
        (r"e\.g\.,?", "for example,"),
        (r"i\.e\.,?", "that is,"),
        (r"etc\.", "et cetera"),
        (r"vs\.?", "versus"),
        (r"approx\.", "approximately"),
        (r"Dr\.", "Doctor"),
        (r"Mr\.", "Mister"),
        (r"Mrs\.", "Missus"),
        (r"Ms\.", "Miz"),
        (r"Prof\.", "Professor"),
        (r"dept\.", "department"),
        (r"incl\.", "including"),
        (r"w/o", "without"),
        (r"w/", "with "),
        (r"and/or", "and or"),
        (r"24/7", "twenty-four seven"),
        (r"[Tt]el\.:?", "telephone"),
        (r"ext\.", "extension"),
        (r"P\.S\.", "P S"),
        (r"min\.", "minimum"),
        (r"max\.", "maximum"),
    )
)


def _alternatives(words: dict[str, object]) -> str:
    return "|".join(sorted((re.escape(word) for word in words), key=len, reverse=True))


def _plural(word: str, number: str) -> str:
    if number.replace(",", "") == "1" or word in _SAME:
        return word
    first, _, rest = word.partition(" ")
    if first in ("square", "Hong", "kilowatt", "milliamp"):
        return word + "s"
    many = _PLURALS.get(first, first + "s")
    return f"{many} {rest}".strip()


def _date(found: re.Match[str]) -> str:
    said = f"{_MONTHS[int(found['m']) - 1]} {ordinal(found['d'])}"
    return f"{said}, {year(found['y'])}"


def _month(short: str) -> str:
    return next(month for month in _MONTHS if month.startswith(short[:3]))


def _month_day(found: re.Match[str]) -> str:
    said = f"{_month(found['month'])} {ordinal(found['d'])}"
    return f"{said}, {year(found['y'])}" if found["y"] else said


def _day_month(found: re.Match[str]) -> str:
    said = f"{ordinal(found['d'])} of {_month(found['month'])}"
    return f"{said}, {year(found['y'])}" if found["y"] else said


def _time(found: re.Match[str]) -> str:
    hour, minute, half = int(found["h"]), int(found["m"] or 0), (found["pm"] or "").replace(".", "").upper()
    if not half and hour > 12:
        hour, half = hour - 12, "PM"
    said = cardinal(str(hour or 12))
    if minute:
        said += f" {'oh ' if minute < 10 else ''}{cardinal(str(minute))}"
    elif not half:
        said += " o'clock"
    return f"{said} {' '.join(half)}".strip()


def _money(found: re.Match[str]) -> str:
    coin, small = _MONEY[found["sign"].upper() if found["sign"].isalpha() else found["sign"]]
    low, many = found["low"], found["many"] or ""
    if found["high"]:
        return f"{decimal(low)} to {decimal(found['high'])}{' ' + many if many else ''} {_plural(coin, found['high'])}"
    if many:
        return f"{decimal(low)} {many} {_plural(coin, '2')}"
    whole, _, cents = low.partition(".")
    said = f"{decimal(whole)} {_plural(coin, whole)}"
    if not cents.strip("0"):
        return said
    if len(cents) > 2 or not small:
        return f"{decimal(low.rstrip('0'))} {_plural(coin, low)}"
    count = str(int(cents.ljust(2, "0")))
    small = f"{cardinal(count)} {_plural(small, count)}"
    return small if whole == "0" else f"{said} and {small}"


def _unit(found: re.Match[str]) -> str:
    unit, low, high = _UNITS[found["unit"]], found["low"].lstrip("-−"), found["high"]
    sign = "minus " if found["low"][0] in "-−" else ""
    said = f"{sign}{decimal(low)}" + (f" to {decimal(high)}" if high else "")
    return f"{said} {_plural(unit, high or low)}"


def _percent(found: re.Match[str]) -> str:
    low = ("minus " if found["low"][0] in "-−" else "") + decimal(found["low"].lstrip("-−+"))
    return f"{low} to {decimal(found['high'])} percent" if found["high"] else f"{low} percent"


def _fraction(found: re.Match[str]) -> str:
    above, below = found["a"], found["b"]
    name = {"2": "half", "4": "quarter"}.get(below) or ordinal(below)
    many = {"half": "halves"}.get(name, name + "s")
    return f"{cardinal(above)} {name if above == '1' else many}"


def _version(found: re.Match[str]) -> str:
    said = " point ".join(cardinal(part) for part in found["parts"].split("."))
    return f"version {said}" if found["v"] else said


def _phone(found: re.Match[str]) -> str:
    plus = "plus " if "+" in found["phone"] else ""
    return plus + ", ".join(digits(group) for group in re.findall(r"\d+", found["phone"]))


def _code(found: re.Match[str]) -> str:
    parts = re.findall(r"\d+|[A-Za-z]+", found["code"])
    return found["before"] + " ".join(digits(part) if part.isdigit() else " ".join(part.upper()) for part in parts)


def _plain(found: re.Match[str]) -> str:
    return ("minus " if found["sign"] else "") + decimal(found["n"]) + (" " if found["joined"] else "")


_DAYS = {day[:3]: day for day in "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split(" ")}
_DAY = "|".join(_DAYS)
_ZONE = r"(?P<pm>[AaPp]\.?[Mm](?:\.(?=\s*[a-z,;]|\s*$)|(?!\w)))"
RULES: tuple[Rule, ...] = (
    *_ABBREVIATIONS,
    (re.compile(rf"\b({_DAY}){_TO}({_DAY})\b"), lambda f: f"{_DAYS[f[1]]} to {_DAYS[f[2]]}"),
    (re.compile(r"^\s*\(?(?P<n>\d{1,2})[.)]\s+(?!\d)"), lambda f: f"{ordinal(f['n']).capitalize()}, "),
    (re.compile(r"(?<!\d)(?P<y>[12]\d{3})([-/.])(?P<m>0?[1-9]|1[0-2])\2(?P<d>3[01]|[12]\d|0?[1-9])(?!\d)"), _date),
    (re.compile(r"(?<!\d)(?P<m>0?[1-9]|1[0-2])/(?P<d>3[01]|[12]\d|0?[1-9])/(?P<y>[12]\d{3})(?!\d)"), _date),
    (
        re.compile(
            rf"\b{_MONTH}\s(?P<d>3[01]|[12]\d|0?[1-9])(?:st|nd|rd|th)?(?!\d|:)(?:,?\s(?P<y>[12]\d{{3}})(?!\d))?"
        ),
        _month_day,
    ),
    (
        re.compile(
            rf"(?<!\d)(?P<d>3[01]|[12]\d|0?[1-9])(?:st|nd|rd|th)?\s{_MONTH}(?![a-z])(?:,?\s(?P<y>[12]\d{{3}})(?!\d))?"
        ),
        _day_month,
    ),
    (re.compile(rf"\b{_MONTH}\s(?P<y>[12]\d{{3}})(?!\d)"), lambda f: f"{_month(f['month'])} {year(f['y'])}"),
    (re.compile(rf"(?<![\d:])(?P<h>[01]?\d|2[0-4])(?::(?P<m>[0-5]\d))?\s?{_ZONE}"), _time),
    (
        re.compile(rf"(?<![\d:])(?P<h>[01]?\d|2[0-4]):(?P<m>[0-5]\d)(?P<pm>)(?![\d:]){_TO}(?=\d)"),
        lambda f: _time(f) + " to ",
    ),
    (re.compile(r"(?<![\d:])(?P<h>[01]?\d|2[0-4]):(?P<m>[0-5]\d)(?P<pm>)(?![\d:])"), _time),
    (
        re.compile(
            r"(?<![\w+])(?P<phone>\+\d{1,3}[- ]?\(?\d{1,4}\)?(?:[- ]?\d{2,4}){1,4}|\(?\d{3}\)?[- ]\d{3}[- ]\d{4}|\d{3}-\d{4}|1[3-9]\d{9})(?![\w-])"
        ),
        _phone,
    ),
    (
        re.compile(
            r"(?P<before>(?:[Cc]ode|[Nn]umber|[Oo]rder|ID|[Tt]racking|PIN|[Ff]light|[Cc]all|[Dd]ial|[Ee]xtension)(?:\s(?:is|no\.|number))?[:#\s]{1,3})(?P<code>[A-Za-z]{0,6}-?\d{3,}(?:-?[A-Za-z0-9]+)*)"
        ),
        _code,
    ),
    (
        re.compile(
            r"(?P<before>)(?<![A-Za-z0-9])(?P<code>(?=[A-Z0-9-]*\d{3})[A-Z]{1,6}-?\d[A-Z0-9]*(?:-[A-Z0-9]+)*)(?![A-Za-z0-9])"
        ),
        _code,
    ),
    (
        re.compile(
            rf"(?P<sign>{_alternatives({**_MONEY})})\s?(?P<low>{_N})(?:{_TO}[$€£¥￥]?(?P<high>{_N}))?(?:\s?(?P<many>million|billion|thousand|trillion))?"
        ),
        _money,
    ),
    (re.compile(rf"(?P<low>{_N})(?:{_TO}(?P<high>{_N}))?\s?(?P<many>)(?P<sign>USD|EUR|GBP|RMB|CNY|JPY)"), _money),
    (re.compile(rf"(?P<low>(?<!\d)[-+−]?{_N})\s?%?(?:{_TO}(?P<high>{_N})\s?)?[%％]"), _percent),
    (
        re.compile(
            rf"(?P<low>(?<![\w.])[-−]?{_N})(?:{_TO}(?P<high>{_N}))?\s?(?P<unit>{_alternatives({**_UNITS})})(?![A-Za-z0-9])"
        ),
        _unit,
    ),
    (re.compile(r"(?<![\w.])(?P<v>[vV](?:er(?:sion)?)?\.?\s?)(?P<parts>\d+(?:\.\d+)*)(?!\d)"), _version),
    (re.compile(r"(?P<v>)(?<![\d.])(?P<parts>\d+(?:\.\d+){2,})(?!\d)"), _version),
    (re.compile(r"(?<![\d/.])(?P<a>[1-9]\d?)/(?P<b>[2-9]|[1-9]\d)(?![\d/])"), _fraction),
    (re.compile(r"(?:\bNo\.|№|#)\s?(?P<n>\d+)"), lambda f: f"number {cardinal(f['n'])}"),
    (re.compile(r"(?<!\d)(?P<n>\d+)(?:st|nd|rd|th)\b"), lambda f: ordinal(f["n"])),
    (re.compile(r"(?<!\d)(?P<n>[12]\d\d0)s\b"), lambda f: _plural_year(f["n"])),
    (
        re.compile(
            r"(?P<before>\b(?i:in|since|by|until|of|from|year|during|before|after)\s)(?P<y>1[5-9]\d\d|20\d\d)(?![\d,.]\d|\d)"
        ),
        lambda f: f["before"] + year(f["y"]),
    ),
    (
        re.compile(rf"(?<![\w.])(?P<low>{_N}){_TO}(?P<high>{_N})(?![\w-])"),
        lambda f: f"{decimal(f['low'])} to {decimal(f['high'])}",
    ),
    (re.compile(r"(?<!\d)(?P<n>\d{7,})(?![\d.,])"), lambda f: digits(f["n"])),
    (re.compile(rf"(?P<sign>(?<![\w)])[-−](?=\d))?(?P<n>{_N})(?=(?P<joined>[A-Za-z])?)"), _plain),
)
SIGNS: tuple[Rule, ...] = (
    (re.compile(r"(?<=[A-Za-z])\s?/\s?(?=[A-Za-z])"), " or "),
    (re.compile(r"\s?(?:≥|>=)\s?"), " at least "),
    (re.compile(r"\s?(?:≤|<=)\s?"), " at most "),
    (re.compile(r"\s?=\s?"), " equals "),
    (re.compile(r"\s?×\s?"), " times "),
    (re.compile(r"\s?±\s?"), " plus or minus "),
    (re.compile(r"\s?\+\s?"), " plus "),
    (re.compile(r"\s?&\s?"), " and "),
    (re.compile(r"(?<=[A-Za-z])\s>\s(?=[A-Z])"), ", "),  # a path through menus
    (re.compile(r"\s?<\s?"), " less than "),
    (re.compile(r"\s?>\s?"), " more than "),
    (re.compile(r"\s*\(\s*"), ", "),
    (re.compile(r"\s*\)(?=[,.!?;:])"), ""),
    (re.compile(r"\s*\)"), ","),
    (re.compile(r"[“”\"\[\]{}]"), ""),
    (re.compile(r"\s*(?:—+|–|…+|\.{3,})\s*"), ", "),
    (re.compile(r"[#*|\\^_`~]"), " "),
    (re.compile(r"\s+(?=[,.!?;:])"), ""),
    (re.compile(r",\s*(?=[,.!?;:])"), ""),
    (re.compile(r"([.!?;:])\s*,"), r"\1"),
    (re.compile(r"([!?,;])\1+"), r"\1"),
    (re.compile(r"\s{2,}"), " "),
)


def _plural_year(number: str) -> str:
    said = year(number)
    return said[:-1] + "ies" if said.endswith("y") else said + "s"
