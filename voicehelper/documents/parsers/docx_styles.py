"""What a Word paragraph's style says about it: heading level, list mark, table of contents."""

import re
from collections import Counter
from dataclasses import dataclass
from typing import Any

from docx.oxml.ns import qn

_HEADING = re.compile(r"^(?:heading|标题|標題|kop|überschrift|titre)\s*(\d)$", re.IGNORECASE)
_TITLES = frozenset(["title", "标题", "標題"])
_CONTENTS = re.compile(r"^(?:toc\s*\d*|toc heading|目录|目錄)\s*\d*$", re.IGNORECASE)
_MAX_BASES = 20  # a style may be based on another; files with a cycle exist


@dataclass(frozen=True, slots=True)
class ParagraphStyle:
    """`level` 0 is body text; `mark` is the list mark to put before it."""

    level: int = 0
    mark: str = ""
    is_contents: bool = False


class Styles:
    """Looks paragraphs up in one document's styles and numbering; counts its ordered lists."""

    def __init__(self, document: Any) -> None:
        self._levels: dict[str, int] = {}
        self._names: dict[str, str] = {}
        self._numbering: dict[str, tuple[str, int]] = {}
        self._read_styles(document.styles.element)
        self._formats = _number_formats(document)
        self._counts: Counter[tuple[str, int]] = Counter()

    def _read_styles(self, styles: Any) -> None:
        elements = {element.get(qn("w:styleId"), ""): element for element in styles.iter(qn("w:style"))}
        for style_id, element in elements.items():
            self._names[style_id] = _value(element.find(qn("w:name")))
            self._levels[style_id] = _inherited_level(element, elements)
            numbering = _numbering(element.find(qn("w:pPr")))
            if numbering:
                self._numbering[style_id] = numbering

    def of(self, paragraph: Any) -> ParagraphStyle:
        """The style of a `w:p` element; call once per paragraph, in order (ordered lists are counted)."""
        properties = paragraph.find(qn("w:pPr"))
        style_id = _value(properties.find(qn("w:pStyle"))) if properties is not None else ""
        if _CONTENTS.match(self._names.get(style_id, "")):
            return ParagraphStyle(is_contents=True)
        level = _outline_level(properties) or self._levels.get(style_id, 0)
        numbering = _numbering(properties) or self._numbering.get(style_id)
        return ParagraphStyle(level, "" if level else self._mark(numbering, self._names.get(style_id, "")))

    def _mark(self, numbering: tuple[str, int] | None, style_name: str) -> str:
        if numbering is None:
            return "- " if style_name.lower().startswith("list bullet") else ""
        number_id, depth = numbering
        if number_id == "0":  # numbering switched off
            return ""
        if self._formats.get((number_id, depth), "bullet") in ("bullet", "none"):
            return "- "
        for key in [key for key in self._counts if key[0] == number_id and key[1] > depth]:
            del self._counts[key]
        self._counts[number_id, depth] += 1
        return f"{self._counts[number_id, depth]}. "


def _value(element: Any) -> str:
    return "" if element is None else str(element.get(qn("w:val")) or "")


def _outline_level(properties: Any) -> int:
    value = _value(properties.find(qn("w:outlineLvl"))) if properties is not None else ""
    return int(value) + 1 if value.isdecimal() and int(value) < 6 else 0


def _inherited_level(style: Any, styles: dict[str, Any]) -> int:
    for _ in range(_MAX_BASES):
        name = _value(style.find(qn("w:name"))).strip()
        if name.lower() in _TITLES:
            return 1
        if named := _HEADING.match(name):
            return min(6, max(1, int(named.group(1))))
        if outline := _outline_level(style.find(qn("w:pPr"))):
            return outline
        base = styles.get(_value(style.find(qn("w:basedOn"))))
        if base is None:
            return 0
        style = base
    return 0


def _numbering(properties: Any) -> tuple[str, int] | None:
    numbering = properties.find(qn("w:numPr")) if properties is not None else None
    if numbering is None:
        return None
    depth = _value(numbering.find(qn("w:ilvl")))
    return _value(numbering.find(qn("w:numId"))), int(depth) if depth.isdecimal() else 0


def _number_formats(document: Any) -> dict[tuple[str, int], str]:
    """Format of each `(numId, depth)`: "bullet", "decimal" ..."""
    part = next((rel.target_part for rel in document.part.rels.values() if rel.reltype.endswith("/numbering")), None)
    if part is None:
        return {}
    root = part.element
    abstract = {item.get(qn("w:abstractNumId")): item for item in root.iter(qn("w:abstractNum"))}
    formats: dict[tuple[str, int], str] = {}
    for number in root.iter(qn("w:num")):
        definition = abstract.get(_value(number.find(qn("w:abstractNumId"))))
        for level in definition.iter(qn("w:lvl")) if definition is not None else ():
            key = (number.get(qn("w:numId"), ""), int(level.get(qn("w:ilvl"), "0")))
            formats[key] = _value(level.find(qn("w:numFmt")))
    return formats
