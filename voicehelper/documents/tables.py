"""Tables as text: each row reads on its own, because a passage may hold only some of them."""

import re
from collections.abc import Sequence

_HAN = re.compile(r"[\u3400-\u9fff]")
_NAMELESS = (
    "项目 参数 规格 名称 属性 参数名称 规格名称 字段 指标 item parameter specification spec feature property name"
)
_NAMES = frozenset(_NAMELESS.split())


def table_text(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """One line per row: `header：cell，header：cell`. Empty cells are left out; rows may be shorter or longer.

    In a table of two columns whose header names nothing ("参数 | 值"), or that has no header, the first cell is the
    name: `容量：5 升`.
    """
    lines = [_row(header, cells) for cells in rows]
    return "\n".join(line for line in lines if line)


def guess_header(rows: Sequence[Sequence[str]]) -> tuple[Sequence[str], Sequence[Sequence[str]]]:
    """Split a table without marked header into header and body: the first row heads it unless it looks like data."""
    if len(rows) < 2 or not all(rows[0]) or len(set(rows[0])) < len(rows[0]):
        return (), rows
    looks_like_data = len(rows[0]) == 2 and any(char.isdigit() for char in rows[0][1])
    return ((), rows) if looks_like_data or len(rows[0]) < 2 else (rows[0], rows[1:])


def _row(header: Sequence[str], cells: Sequence[str]) -> str:
    colon, comma = ("：", "，") if any(map(_HAN.search, (*header, *cells))) else (": ", ", ")
    named = len(cells) == 2 and (not any(header) or header[0].strip().lower() in _NAMES)
    if named and all(cells):
        return f"{cells[0]}{colon}{cells[1]}"
    pairs = []
    for index, cell in enumerate(cells):
        title = header[index] if index < len(header) else ""
        if cell:
            pairs.append(f"{title}{colon}{cell}" if title and title != cell else cell)
    return comma.join(pairs)
