"""DOCX: paragraphs, lists and tables in document order. python-docx opens the package; the walk is ours, because its
own leaves out content controls and tracked insertions."""

import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import Any

from docx import Document
from docx.opc.exceptions import OpcError
from docx.oxml.ns import qn
from lxml.etree import XMLSyntaxError

from voicehelper.documents.cleaning import clean_line
from voicehelper.documents.failures import failure
from voicehelper.documents.model import FailureReason, ParsedDocument, ParseLimits
from voicehelper.documents.parsers.blocks import BlockList
from voicehelper.documents.parsers.docx_styles import Styles
from voicehelper.documents.tables import guess_header, table_text

_MAX_ENTRIES = 10_000
_MAX_RATIO = 200  # real documents stay below 40
_RATIO_MATTERS_FROM = 16 * 2**20  # unpacked bytes
_QUICKLY_OPENED = 4 * 2**20  # unpacked bytes
_BREAKS = {qn("w:br"): "\n", qn("w:cr"): "\n", qn("w:tab"): " ", qn("w:noBreakHyphen"): "-"}
_TEXT = qn("w:t")
_WRAPPERS = {qn(name) for name in ("w:sdt", "w:sdtContent", "w:ins", "w:smartTag", "w:customXml", "w:moveTo")}
_SKIPPED = {"{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback", qn("w:del"), qn("w:moveFrom")}


def parse(data: bytes, limits: ParseLimits) -> ParsedDocument:
    """Blocks of a Word document. Raises reasons BOMB, CORRUPT, MISMATCH."""
    _unpacked_size(data, limits)
    with _damage_is_corrupt():
        document = Document(BytesIO(data))
        blocks = BlockList(limits.max_text_chars)
        _Walker(blocks, Styles(document)).walk(document.element.body)
        return blocks.document(document.core_properties.title or "")


def inspect(data: bytes, limits: ParseLimits) -> None:
    """Refuse by the container's directory, and what of a small package does not open.

    Raises reasons BOMB, CORRUPT, ENCRYPTED.
    """
    if _unpacked_size(data, limits) <= _QUICKLY_OPENED:
        with _damage_is_corrupt():
            Document(BytesIO(data))


@contextmanager
def _damage_is_corrupt() -> Iterator[None]:
    try:
        yield
    except (OpcError, XMLSyntaxError, zipfile.BadZipFile, zipfile.LargeZipFile, zlib.error) as error:
        raise failure(FailureReason.CORRUPT) from error
    except (
        KeyError,
        ValueError,
        AttributeError,
        TypeError,
        IndexError,
        EOFError,
        OSError,
        NotImplementedError,
    ) as error:
        # python-docx and zipfile meet damaged packages with whatever their code trips over
        raise failure(FailureReason.CORRUPT) from error


def _unpacked_size(data: bytes, limits: ParseLimits) -> int:
    """Bytes that the container's directory announces, before anything is unpacked (zipfile then reads no more).

    Raises reasons BOMB, CORRUPT, ENCRYPTED.
    """
    try:
        with zipfile.ZipFile(BytesIO(data)) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, ValueError, OSError, EOFError, NotImplementedError) as error:
        raise failure(FailureReason.CORRUPT) from error
    unpacked = sum(entry.file_size for entry in entries)
    ratio = unpacked / max(1, len(data))
    if (
        unpacked > limits.max_unpacked_bytes
        or len(entries) > _MAX_ENTRIES
        or (unpacked > _RATIO_MATTERS_FROM and ratio > _MAX_RATIO)
    ):
        raise failure(FailureReason.BOMB)
    if any(entry.flag_bits & 1 for entry in entries):
        raise failure(FailureReason.ENCRYPTED)
    return unpacked


class _Walker:
    def __init__(self, blocks: BlockList, styles: Styles) -> None:
        self.blocks = blocks
        self._styles = styles

    def walk(self, body: Any) -> None:
        """Blocks of a body or of a wrapper inside it."""
        for element in _content(body):
            if element.tag == qn("w:p"):
                self._paragraph(element)
            elif element.tag == qn("w:tbl"):
                self.blocks.text(_table(element))

    def _paragraph(self, element: Any) -> None:
        text = _visible(element)
        style = self._styles.of(element)
        if not text.strip() or style.is_contents:
            return
        if style.level:
            self.blocks.heading(style.mark + text, style.level)
        else:
            self.blocks.text(style.mark + text)


def _content(parent: Any) -> Iterator[Any]:
    """Children in order, looking through wrappers, without recursion."""
    stack = [iter(parent)]
    while stack:
        element = next(stack[-1], None)
        if element is None:
            stack.pop()
        elif element.tag in _WRAPPERS:
            stack.append(iter(element))
        elif element.tag not in _SKIPPED:
            yield element


def _visible(element: Any) -> str:
    """Text of a paragraph: runs, links and insertions; no field codes, deletions or duplicate fallbacks."""
    parts: list[str] = []
    stack = [iter(element)]
    while stack:
        child = next(stack[-1], None)
        if child is None:
            stack.pop()
        elif child.tag == _TEXT:
            parts.append(child.text or "")
        elif child.tag in _BREAKS:
            parts.append(_BREAKS[child.tag])
        elif child.tag not in _SKIPPED and isinstance(child.tag, str):
            stack.append(iter(child))
    return "".join(parts)


def _table(table: Any) -> str:
    rows = [[_cell(cell) for cell in _content(row) if cell.tag == qn("w:tc")] for row in _rows(table)]
    rows = [row for row in rows if any(row)]
    header, body = guess_header(rows)
    return table_text(header, body)


def _rows(table: Any) -> list[Any]:
    return [element for element in _content(table) if element.tag == qn("w:tr")]


def _cell(cell: Any) -> str:
    return clean_line(" ".join(_visible(element) for element in _content(cell)))
