"""Markdown (CommonMark with tables) through markdown-it-py's token stream."""

import re
from collections.abc import Iterator, Sequence

from markdown_it import MarkdownIt
from markdown_it.token import Token

from voicehelper.documents.cleaning import clean_line
from voicehelper.documents.encoding import decode
from voicehelper.documents.model import ParsedDocument, ParseLimits
from voicehelper.documents.parsers.blocks import BlockList, unwrap
from voicehelper.documents.parsers.html import fragment_text
from voicehelper.documents.parsers.plain import inspect
from voicehelper.documents.tables import table_text

__all__ = ["inline_text", "inspect", "parse"]

_FRONT_MATTER = re.compile(r"\A\ufeff?---[ \t]*\n(.*?)\n(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL)
_TITLE = re.compile(r"^title\s*[:：][ \t]*(.+)$", re.MULTILINE | re.IGNORECASE)
_HIDDEN_OPEN = re.compile(r"<(script|style)\b", re.IGNORECASE)
_HIDDEN_CLOSE = re.compile(r"</(script|style)\b", re.IGNORECASE)
_BREAK = re.compile(r"<br\b", re.IGNORECASE)


def parse(data: bytes, limits: ParseLimits) -> ParsedDocument:
    """Blocks of a Markdown file; front matter gives the title and is no text."""
    source = re.sub(r"\r\n?", "\n", decode(data))
    title = ""
    if front := _FRONT_MATTER.match(source):
        found = _TITLE.search(front.group(1))
        title = found.group(1).strip().strip("\"'") if found else ""
        source = source[front.end() :]
    walker = _Walker(BlockList(limits.max_text_chars))
    walker.walk(MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(source))
    return walker.blocks.document(title)


class _Walker:
    """Turns tokens into blocks; remembers the open lists, to mark their items."""

    def __init__(self, blocks: BlockList) -> None:
        self.blocks = blocks
        self._lists: list[int | None] = []  # next number of each open list; None for bullets
        self._mark = ""

    def walk(self, tokens: Sequence[Token]) -> None:
        """Every token once, in order."""
        stream = iter(tokens)
        for token in stream:
            match token.type:
                case "heading_open":
                    self.blocks.heading(inline_text(next(stream)), int(token.tag[1]))
                case "inline":
                    self._paragraph(inline_text(token))
                case "bullet_list_open":
                    self._lists.append(None)
                case "ordered_list_open":
                    self._lists.append(int(token.attrGet("start") or 1))
                case "bullet_list_close" | "ordered_list_close":
                    self._lists.pop()
                case "list_item_open":
                    self._open_item()
                case "fence" | "code_block":
                    self.blocks.code(token.content)
                case "html_block":
                    self.blocks.text(fragment_text(token.content))
                case "table_open":
                    self.blocks.text(_table(stream))

    def _open_item(self) -> None:
        number = self._lists[-1]
        self._mark = "- " if number is None else f"{number}. "
        if number is not None:
            self._lists[-1] = number + 1

    def _paragraph(self, text: str) -> None:
        if text.strip():
            self.blocks.text(self._mark + text)
            self._mark = ""


def inline_text(token: Token) -> str:
    """What a reader sees of an inline token: link texts, code, image descriptions; no HTML tags, no script."""
    parts: list[str] = []
    hidden = False
    for child in token.children or ():
        if child.type == "html_inline":
            hidden = bool(_HIDDEN_OPEN.match(child.content)) or (hidden and not _HIDDEN_CLOSE.match(child.content))
            parts.append("\v" if _BREAK.match(child.content) else "")
        elif not hidden:
            parts.append(_inline_part(child))
    return unwrap("".join(parts)).replace("\v", "\n")


def _inline_part(child: Token) -> str:
    match child.type:
        case "softbreak":
            return "\n"
        case "hardbreak":
            return "\v"
        case "image":
            return "".join(part.content for part in child.children or ())
        case _:
            return child.content


def _table(stream: Iterator[Token]) -> str:
    header: list[str] = []
    rows: list[list[str]] = []
    in_header = False
    for token in stream:
        match token.type:
            case "thead_open" | "thead_close":
                in_header = token.type == "thead_open"
            case "tr_open" if not in_header:
                rows.append([])
            case "inline":
                (header if in_header else rows[-1]).append(clean_line(inline_text(token)))
            case "table_close":
                break
    return table_text(header, rows)
