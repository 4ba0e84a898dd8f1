"""PDF text layers through PDFium. What it gives are lines; `pdf_layout` makes paragraphs of them."""

from collections.abc import Iterator
from contextlib import contextmanager
from ctypes import byref

import pypdfium2 as pdfium
from pypdfium2 import raw

from voicehelper.documents.cleaning import clean_line
from voicehelper.documents.failures import failure
from voicehelper.documents.model import FailureReason, ParsedDocument, ParseLimits
from voicehelper.documents.parsers.blocks import BlockList
from voicehelper.documents.parsers.pdf_layout import Line, add_paragraphs

_BOLD_FROM = 600  # font weight
_LOCKED = (raw.FPDF_ERR_PASSWORD, raw.FPDF_ERR_SECURITY)


def parse(data: bytes, limits: ParseLimits) -> ParsedDocument:
    """Blocks of a PDF's text layer. Raises reasons ENCRYPTED, CORRUPT, NO_TEXT, TOO_LARGE."""
    with _opened(data) as document:
        count = len(document)
        pages = list(_pages(document, count, limits.max_text_chars))
        title = str(document.get_metadata_value("Title") or "")
    if not any(char.isalnum() for page in pages for line in page for char in line.text):
        raise failure(FailureReason.NO_TEXT)
    blocks = BlockList(limits.max_text_chars)
    add_paragraphs(blocks, pages)
    return blocks.document("" if _is_placeholder(title) else title, count)


def inspect(data: bytes, _limits: ParseLimits) -> None:
    """Refuse what does not open, or whose first page does not. Raises reasons ENCRYPTED, CORRUPT."""
    with _opened(data) as document, _damage_is_corrupt():
        document[0].close()


@contextmanager
def _opened(data: bytes) -> Iterator[pdfium.PdfDocument]:
    """The document, which has pages."""
    try:
        document = pdfium.PdfDocument(data)
    except pdfium.PdfiumError as error:
        locked = error.err_code in _LOCKED
        raise failure(FailureReason.ENCRYPTED if locked else FailureReason.CORRUPT) from error
    try:
        if len(document) == 0:
            raise failure(FailureReason.CORRUPT)
        yield document
    finally:
        document.close()


@contextmanager
def _damage_is_corrupt() -> Iterator[None]:
    try:
        yield
    except pdfium.PdfiumError as error:
        raise failure(FailureReason.CORRUPT) from error


def _is_placeholder(title: str) -> bool:
    return title.strip().lower() in {"untitled", "anonymous", "(anonymous)", "无标题"}


def _pages(document: pdfium.PdfDocument, count: int, max_chars: int) -> Iterator[list[Line]]:
    """Lines of each page. A page that cannot be loaded makes the document CORRUPT: half a manual is worse than none."""
    left = max_chars * 2  # cleaning and joining shorten the text; this only stops runaways
    for number in range(count):
        with _damage_is_corrupt():
            page = document[number]
            textpage = page.get_textpage()
        lines = list(_lines(textpage, page.get_height()))
        textpage.close()
        page.close()
        left -= sum(len(line.text) for line in lines)
        if left < 0:
            raise failure(FailureReason.TOO_LARGE)
        yield lines


def _lines(textpage: pdfium.PdfTextPage, page_height: float) -> Iterator[Line]:
    position = 0
    for text in textpage.get_text_range().split("\r\n"):
        visible = text.strip()
        if clean_line(visible):
            first = position + len(text) - len(text.lstrip())
            yield _line(textpage, visible, first, first + len(visible) - 1, page_height)
        position += len(text) + 2


def _line(textpage: pdfium.PdfTextPage, text: str, first: int, last: int, page_height: float) -> Line:
    start = max(0, raw.FPDFText_GetCharIndexFromTextIndex(textpage, first))
    end = max(start, raw.FPDFText_GetCharIndexFromTextIndex(textpage, last))
    left, bottom, _, top = _box(textpage, start)
    right = _box(textpage, end)[2]
    return Line(
        text=_join_hyphen_marks(text),
        left=left,
        right=right,
        top=page_height - top,
        size=round(top - bottom, 1),
        bold=raw.FPDFText_GetFontWeight(textpage, start) >= _BOLD_FROM,
        depth=(page_height - top) / page_height if page_height else 0.5,
    )


def _join_hyphen_marks(text: str) -> str:
    """PDFium writes U+FFFE (or U+0002) for a hyphen it takes for a line-break hyphen."""
    return text.replace("\ufffe", "-").replace("\x02", "-")


def _box(textpage: pdfium.PdfTextPage, index: int) -> tuple[float, float, float, float]:
    """Left, bottom, right, top of a character: the loose box, whose height follows the font size."""
    box = raw.FS_RECTF()
    if not raw.FPDFText_GetLooseCharBox(textpage, index, byref(box)):
        return (0.0, 0.0, 0.0, 0.0)
    return (box.left, box.bottom, box.right, box.top)
