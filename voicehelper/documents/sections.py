"""Sections of a parsed document: runs of body text under one heading, or one question with its answer."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from voicehelper.documents.model import Block, ParsedDocument

_QUESTION_MARK = re.compile(r"(?:\*\*)?(?:Q|问|問|Question)\s*\d{0,3}\s*[.:：、]", re.IGNORECASE)
_QUESTION_CHARS = 80
_ITEM = re.compile(r"(?:- |\d{1,3}[.、)] )")

Path = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Placed:
    """A block and where it starts in the document's text."""

    block: Block
    start: int


@dataclass(slots=True)
class Section:
    """Body text in one place of the document.

    Attributes:
        path: headings above, outermost first.
        leads: heading blocks between the section before and this body, its own heading last.
        body: its blocks; for a heading with nothing below it, the heading itself.
        standalone: a question with its answer.
    """

    path: Path
    leads: list[Placed] = field(default_factory=list)
    body: list[Placed] = field(default_factory=list)
    standalone: bool = False


def divide(parsed: ParsedDocument) -> list[Section]:
    """The sections of a document, in order; together they hold every block that is no heading."""
    sections: list[Section] = []
    path: dict[int, str] = {}
    leads: list[Placed] = []
    placed = list(_place(parsed.blocks))
    for index, item in enumerate(placed):
        following = placed[index + 1].block if index + 1 < len(placed) else None
        if item.block.level:
            path = {level: text for level, text in path.items() if level < item.block.level}
            path[item.block.level] = item.block.text
            leads.append(item)
            if following is None or 0 < following.level <= item.block.level:  # a heading with nothing below it
                sections.append(_begin(path, leads[:-1], item))
                leads = []
        elif leads or not sections or _asks(item.block, following):
            sections.append(_begin(path, leads, item))
            sections[-1].standalone |= _asks(item.block, following)
            leads = []
        else:
            sections[-1].body.append(item)
    return sections


def common_path(paths: Iterable[Path]) -> Path:
    """The longest path all `paths` begin with."""
    columns = zip(*paths, strict=False)
    shared: list[str] = []
    for column in columns:
        if len(set(column)) > 1:
            break
        shared.append(column[0])
    return tuple(shared)


def may_join(first: Section, section: Section) -> bool:
    """Whether `section` may share a chunk that begins with `first`: below the same parent, and neither a question."""
    if first.standalone or section.standalone:
        return False
    scope = first.path[:-1] or first.path
    if not scope:
        return not section.path
    return section.path[: len(scope)] == scope


def _place(blocks: Iterable[Block]) -> Iterator[Placed]:
    start = 0
    for block in blocks:
        yield Placed(block, start)
        start += len(block.text) + 1


def _begin(path: dict[int, str], leads: list[Placed], item: Placed) -> Section:
    headings = tuple(path[level] for level in sorted(path))
    if item.block.level:  # its text is the body, so the path need not repeat it
        return Section(headings[:-1], leads, [item])
    asked = bool(leads) and _is_question(headings[-1])
    return Section(headings, leads, [item], standalone=asked)


def _asks(block: Block, following: Block | None) -> bool:
    """Whether `block` is a question that `following` answers."""
    if following is None or following.level or _is_question(following.text):
        return False
    return not _ITEM.match(block.text) and "\n" not in block.text and _is_question(block.text)


def _is_question(text: str) -> bool:
    return bool(_QUESTION_MARK.match(text)) or (len(text) <= _QUESTION_CHARS and text.endswith(("？", "?")))
