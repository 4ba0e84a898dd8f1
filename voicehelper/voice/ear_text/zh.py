"""Chinese: figures, dates, prices and signs in words. Rules apply in order; each leaves no digits for the next."""
# ruff: noqa: E501 - tables of patterns read better one to a line

import re
from collections.abc import Callable

from voicehelper.voice.ear_text.numbers_zh import cardinal, decimal, digits

Rule = tuple[re.Pattern[str], Callable[[re.Match[str]], str] | str]

_N = r"\d+(?:,\d{3})*(?:\.\d+)?"
_TO = r"\s?(?:-|–|—|~|～|至|到)\s?"
_MEASURE = (
    "个|件|天|次|位|种|张|份|台|套|条|本|只|人|年|周|小时|分钟|秒|倍|家|箱|包|瓶|双|米|公里|公斤|斤|元|块|层|项|步|句|页|岁|者|点|名|间|部"
    "|款|支|轮|批|笔|级|晚|盒|星期|万|亿"
)
_UNITS = {
    "kg": "公斤",
    "g": "克",
    "mg": "毫克",
    "t": "吨",
    "km": "公里",
    "m": "米",
    "cm": "厘米",
    "mm": "毫米",
    "ml": "毫升",
    "mL": "毫升",
    "L": "升",
    "l": "升",
    "m²": "平方米",
    "㎡": "平方米",
    "m2": "平方米",
    "m³": "立方米",
    "km/h": "公里每小时",
    "m/s": "米每秒",
    "GB": "G",
    "G": "G",
    "TB": "T",
    "MB": "兆",
    "KB": "K",
    "Mbps": "兆",
    "W": "瓦",
    "kW": "千瓦",
    "kWh": "度电",
    "mAh": "毫安时",
    "V": "伏",
    "A": "安",
    "Hz": "赫兹",
    "kHz": "千赫兹",
    "MHz": "兆赫兹",
    "GHz": "吉赫兹",
    "h": "小时",
    "min": "分钟",
    "s": "秒",
    "ms": "毫秒",
    "px": "像素",
    "dB": "分贝",
    "℃": "摄氏度",
    "°C": "摄氏度",
    "℉": "华氏度",
    "°F": "华氏度",
    "°": "度",
    "inch": "英寸",
    "kcal": "千卡",
}
_MONEY = {
    "￥": "元",
    "¥": "元",
    "RMB": "元",
    "CNY": "元",
    "$": "美元",
    "US$": "美元",
    "USD": "美元",
    "HK$": "港元",
    "HKD": "港元",
    "€": "欧元",
    "EUR": "欧元",
    "£": "英镑",
    "GBP": "英镑",
    "JPY": "日元",
}
_CALL = r"(?:电话|热线|拨打|致电|客服|手机|座机|传真|号码|联系)"
_CODE = r"(?:单号|编号|编码|工号|验证码|卡号|账号|尾号|订单|运单|代码|密码|邮编|条码|流水号|取件码|房间号|航班)"
_PM = {"am": "上午", "AM": "上午", "a.m.": "上午", "pm": "下午", "PM": "下午", "p.m.": "下午"}


def _alternatives(words: dict[str, str]) -> str:
    return "|".join(sorted((re.escape(word) for word in words), key=len, reverse=True))


def _year(number: str) -> str:
    return digits(number)


def _clock(hour: str, minute: str, second: str | None = None) -> str:
    said = f"{cardinal(str(int(hour)))}点"
    if second and int(second):
        return f"{said}{_minutes(minute) or '零分'}{cardinal(str(int(second)))}秒"
    return said + ("半" if minute == "30" else _minutes(minute))


def _minutes(minute: str) -> str:
    value = int(minute)
    return "" if not value else f"{'零' if value < 10 else ''}{cardinal(str(value))}分"


def _time(found: re.Match[str]) -> str:
    return _PM.get(found["pm"] or "", "") + _clock(found["h"], found["m"], found["s"])


def _date(found: re.Match[str]) -> str:
    said = f"{_year(found['y'])}年{cardinal(str(int(found['m'])))}月"
    return said + (f"{cardinal(str(int(found['d'])))}日" if found["d"] else "")


def _amount(number: str) -> str:
    """An amount of money or of a unit: zeros at the end of its fraction are not said; two is 两."""
    number = number.replace(",", "")
    if "." in number:
        number = number.rstrip("0").rstrip(".")
    return "两" if number == "2" else decimal(number)


def _money(found: re.Match[str]) -> str:
    unit = _MONEY[found["sign"].upper() if found["sign"].isalpha() else found["sign"]]
    high = f"到{_amount(found['high'])}" if found["high"] else ""
    return f"{_amount(found['low'])}{high}{found['many'] or ''}{unit}"


def _percent(found: re.Match[str]) -> str:
    of = {"%": "百分之", "％": "百分之", "‰": "千分之"}[found["sign"]]
    low = f"{of}{_signed(found['low'])}"
    return f"{low}到{of}{decimal(found['high'])}" if found["high"] else low


def _signed(number: str) -> str:
    return f"负{decimal(number[1:])}" if number[0] in "-−" else decimal(number.removeprefix("+"))


def _unit(found: re.Match[str]) -> str:
    unit = _UNITS[found["unit"]]
    cold = found["low"][0] in "-−"
    low = found["low"].lstrip("-−+")
    sign = "" if not cold else "零下" if unit.endswith("度") else "负"
    high = f"到{_amount(found['high'])}" if found["high"] else ""
    return f"{sign}{_amount(low)}{high}{unit}"


def _version(found: re.Match[str]) -> str:
    parts = "点".join(cardinal(part) for part in found["parts"].split("."))
    return ("版本" if found["v"] and not found["named"] else "") + parts


def _code(found: re.Match[str]) -> str:
    """Letters and figures one by one."""
    return found["before"] + _spelled(found["code"])


def _spelled(code: str) -> str:
    parts = re.findall(r"\d+|[A-Za-z]+", code)
    return " ".join(digits(part) if part.isdigit() else " ".join(part.upper()) for part in parts).strip()


def _phone(found: re.Match[str]) -> str:
    groups = re.findall(r"\d+", found["phone"])
    if len(groups) == 1 and len(groups[0]) == 11:
        groups = [groups[0][:3], groups[0][3:7], groups[0][7:]]
    plus = "加" if found["phone"].startswith("+") else ""
    return found["before"] + plus + "，".join(digits(group, phone=True) for group in groups)


def _range(found: re.Match[str]) -> str:
    low, high = found["low"], found["high"]
    return f"{'两' if low == '2' and found['measure'] else decimal(low)}到{_counted(high, found['measure'])}"


def _counted(number: str, measure: str | None) -> str:
    return "两" if measure and number == "2" else decimal(number)


def _item(found: re.Match[str]) -> str:
    return f"第{cardinal(found['n'])}，"


def _plain(found: re.Match[str]) -> str:
    sign = "负" if found["sign"] else ""
    return sign + _counted(found["n"], found["measure"])


_CLOCK = r"(?<![\d:：])(?P<h>[01]?\d|2[0-4])[:：](?P<m>[0-5]\d)(?:[:：](?P<s>[0-5]\d))?(?![\d:：])"
RULES: tuple[Rule, ...] = (
    (re.compile(r"^\s*(?:\(|（)?(?P<n>\d{1,2})(?:[.、)）]|[．])\s*(?!\d)"), _item),
    (re.compile(r"24/7|7[*×]24(?:小时)?"), "全天候"),
    # dates and times
    (
        re.compile(rf"(?P<low>[12]\d{{3}}){_TO}(?P<high>[12]\d{{3}})年"),
        lambda f: f"{_year(f['low'])}到{_year(f['high'])}年",
    ),
    (
        re.compile(
            r"(?<!\d)(?P<y>[12]\d{3})(?:年|([-/.]))(?P<m>0?[1-9]|1[0-2])(?:(?(2)\2|月)(?P<d>3[01]|[12]\d|0?[1-9])(?!\d)[日号]?|月)"
        ),
        _date,
    ),
    (re.compile(r"(?<![\d/-])(?P<y>[12]\d{3})[-/](?P<m>0?[1-9]|1[0-2])(?P<d>)(?![\d/-])"), _date),
    (re.compile(r"(?<!\d)(?P<y>[12]\d{3})年"), lambda f: f"{_year(f['y'])}年"),
    (
        re.compile(r"(?<!\d)(?P<m>1[0-2]|0?[1-9])月(?P<d>3[01]|[12]\d|0?[1-9])(?P<n>[日号])"),
        lambda f: f"{cardinal(str(int(f['m'])))}月{cardinal(str(int(f['d'])))}{f['n']}",
    ),
    (
        re.compile(_CLOCK + r"(?:\s?(?P<pm>[AaPp][Mm]|[ap]\.m\.))?" + rf"(?={_TO}\d{{1,2}}[:：]\d\d)" + _TO),
        lambda f: _time(f) + "到",
    ),
    (re.compile(_CLOCK + r"(?:\s?(?P<pm>[AaPp][Mm]|[ap]\.m\.))?"), _time),
    # phone numbers, codes
    (
        re.compile(
            r"(?P<before>)(?<![\dA-Za-z.+])(?P<phone>(?:\+\d{1,3}[- ]?)?1[3-9]\d[- ]?\d{4}[- ]?\d{4}|(?:400|800)[- ]?\d{3}[- ]?\d{4}|0\d{2,3}-\d{7,8}(?:-\d{1,5})?)(?!\d|\.\d)"
        ),
        _phone,
    ),
    (
        re.compile(
            rf"(?P<before>{_CALL}\D{{0,4}})(?P<phone>\+?\d{{3,12}}(?:-\d{{2,8}})*)(?!\d|\.\d|[%％元个]|{_TO}\d)"
        ),
        _phone,
    ),
    (
        re.compile(
            rf"(?P<before>{_CODE}(?:为|是|号)?[：:\s]{{0,2}})(?P<code>[A-Za-z]{{0,6}}-?\d{{3,}}(?:-?[A-Za-z0-9]+)*)"
        ),
        _code,
    ),
    (
        re.compile(
            r"(?P<before>)(?<![A-Za-z0-9])(?P<code>(?=[A-Z0-9-]*\d{3})[A-Z]{1,6}-?\d[A-Z0-9]*(?:-[A-Z0-9]+)*)(?![A-Za-z0-9])"
        ),
        _code,
    ),
    # money, shares, units
    (
        re.compile(
            rf"(?P<sign>(?i:{_alternatives(_MONEY)}))\s?(?P<low>{_N})(?:{_TO}(?P<high>{_N}))?\s?(?P<many>[万亿千百])?(?:元|块钱|美元)?"
        ),
        _money,
    ),
    (
        re.compile(
            rf"(?P<low>{_N})(?:{_TO}(?P<high>{_N}))?\s?(?P<many>[万亿])?\s?(?P<sign>RMB|CNY|USD|HKD|EUR|GBP|JPY|€|£)"
        ),
        _money,
    ),
    (re.compile(rf"(?P<low>(?<![\d])[-+−]?{_N})\s?(?:[%％])?(?:{_TO}(?P<high>{_N})\s?)?(?P<sign>[%％‰])"), _percent),
    (
        re.compile(
            rf"(?P<low>(?<![\dA-Za-z])[-−]?{_N})(?:{_TO}(?P<high>{_N}))?\s?(?P<unit>{_alternatives(_UNITS)})(?![A-Za-z0-9])"
        ),
        _unit,
    ),
    # versions, addresses, fractions, proportions
    (
        re.compile(r"(?<![\dA-Za-z.])(?:(?P<v>[vV])(?:er)?\.?\s?(?P<parts>\d+(?:\.\d+)*))(?!\d)(?=\s?(?P<named>版)?)"),
        _version,
    ),
    (re.compile(r"(?P<v>)(?<![\d.])(?P<parts>\d+(?:\.\d+){2,})(?!\d)(?P<named>)"), _version),
    (
        re.compile(r"(?<![\d/.])(?P<a>[1-9]\d?)/(?P<b>[1-9]\d{0,2})(?![\d/])"),
        lambda f: f"{cardinal(f['b'])}分之{cardinal(f['a'])}",
    ),
    (re.compile(r"(?<![\d:])(?P<a>\d+)[:：](?P<b>\d+)(?![\d:])"), lambda f: f"{cardinal(f['a'])}比{cardinal(f['b'])}"),
    # plain numbers
    (re.compile(r"(?:No\.|NO\.|№)\s?(?P<n>\d+)"), lambda f: f"第{cardinal(f['n'])}号"),
    (re.compile(r"第\s?(?P<n>\d+)"), lambda f: f"第{cardinal(f['n'])}"),
    (
        re.compile(rf"(?<![\d.])(?P<low>{_N}){_TO}(?P<high>{_N})(?![\d.]*-)\s?(?P<measure>{_MEASURE})?(?!\d)"),
        lambda f: _range(f) + (f["measure"] or ""),
    ),
    (re.compile(r"(?<!\d)(?P<n>\d{7,})(?![\d.,]|\s?(?:" + _MEASURE + "))"), lambda f: digits(f["n"])),
    (re.compile(rf"(?P<sign>(?<![\w）)])[-−](?=\d))?(?P<n>{_N})(?=\s?(?P<measure>{_MEASURE})?)"), _plain),
)
SIGNS: tuple[Rule, ...] = (
    (re.compile(r"(?<=[元块角次个天月年人件台位])/(?=[\u4e00-\u9fff])"), "每"),
    (re.compile(r"(?<=[\u4e00-\u9fffA-Za-z])\s?/\s?(?=[\u4e00-\u9fffA-Za-z])"), "或"),
    (re.compile(r"\s?(?:≥|>=)\s?"), "大于等于"),
    (re.compile(r"\s?(?:≤|<=)\s?"), "小于等于"),
    (re.compile(r"\s?≠\s?"), "不等于"),
    (re.compile(r"\s?[≈]\s?"), "约等于"),
    (re.compile(r"\s?[=＝]\s?"), "等于"),
    (re.compile(r"\s?[×✕]\s?"), "乘"),
    (re.compile(r"\s?±\s?"), "正负"),
    (re.compile(r"\s?[+＋]\s?"), "加"),
    (re.compile(r"\s?[&＆]\s?"), "和"),
    (re.compile(r"(?<=[一二三四五六七八九十百千万零])\s?>\s?"), "大于"),
    (re.compile(r"(?<=[\u4e00-\u9fff])\s?>\s?(?=[\u4e00-\u9fff])"), "，"),  # a path through menus
    (re.compile(r"\s?<\s?"), "小于"),
    (re.compile(r"\s?>\s?"), "大于"),
    (re.compile(r"[（(]\s*"), "，"),
    (re.compile(r"\s*[）)](?=[，。！？；、：,.!?;:]|\s*$)"), ""),
    (re.compile(r"\s*[）)]"), "，"),
    (re.compile(r"[“”\"「」『』《》〈〉【】\[\]{}]"), ""),
    (re.compile(r"—+|–|…+|\.{3,}"), "，"),
    (re.compile(r"[~～]"), ""),
    (re.compile(r"[#＃*|\\^_`]"), " "),
    (re.compile(r"(?<=[A-Za-z])-(?=[A-Za-z])"), " "),
    (re.compile(r"\s+(?=[，。！？；：、])"), ""),
    (re.compile(r"，\s*(?=[，。！？；：、])"), ""),
    (re.compile(r"([。！？；：、])\s*，"), r"\1"),
    (re.compile(r"([。！？；，：、])\1+"), r"\1"),
    (re.compile(r"(?<=[\u4e00-\u9fff，。！？；：、])\s+(?=[\u4e00-\u9fff，。！？；：、])"), ""),
    (re.compile(r"\s{2,}"), " "),
)
