"""Numbers in Chinese words. Arguments are ASCII digits."""

_DIGITS = "零一二三四五六七八九"
_UNITS = ("", "十", "百", "千")
_GROUPS = ("", "万", "亿", "万亿")
_LONGEST = 16


def digits(number: str, phone: bool = False) -> str:
    """Digit by digit; on the phone a one is 幺."""
    said = "".join(_DIGITS[int(digit)] for digit in number if digit.isdigit())
    return said.replace("一", "幺") if phone else said


def cardinal(number: str) -> str:
    """A whole number: 12 is 十二, 105 一百零五, 20000 两万. With leading zeros, or too long: digit by digit."""
    if (len(number) > 1 and number[0] == "0") or len(number) > _LONGEST:
        return digits(number)
    value = int(number)
    if value == 0:
        return "零"
    said, gap, place = "", False, 0
    while value:
        value, group = divmod(value, 10_000)
        if group:
            part = _group(group)
            if place and part == "二":
                part = "两"
            said = part + _GROUPS[place] + ("零" if gap and said else "") + said
            gap = group < 1000
        else:
            gap = bool(said)
        place += 1
    return said.removeprefix("一") if said.startswith("一十") else said


def decimal(number: str) -> str:
    """A number that may have a fraction: 3.14 is 三点一四."""
    whole, _, fraction = number.replace(",", "").replace("，", "").partition(".")
    return cardinal(whole) + (f"点{digits(fraction)}" if fraction else "")


def _group(value: int) -> str:
    """1 to 9999."""
    said, zero = "", False
    for place in (3, 2, 1, 0):
        digit = value // 10**place % 10
        if not digit:
            zero = bool(said)
            continue
        word = "两" if digit == 2 and place == 3 else _DIGITS[digit]
        said += ("零" if zero else "") + word + _UNITS[place]
        zero = False
    return said
