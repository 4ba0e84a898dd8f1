"""Which format a file claims to have, and whether its bytes agree."""

import zipfile
from enum import StrEnum
from io import BytesIO
from pathlib import PurePath

from voicehelper.documents.failures import failure
from voicehelper.documents.model import FailureReason

DOCX_TYPE = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"


class Format(StrEnum):
    """Formats that can be indexed; the value is the content type."""

    MARKDOWN = "text/markdown"
    TEXT = "text/plain"
    HTML = "text/html"
    PDF = "application/pdf"
    DOCX = DOCX_TYPE


SUFFIXES = {
    ".md": Format.MARKDOWN,
    ".markdown": Format.MARKDOWN,
    ".txt": Format.TEXT,
    ".text": Format.TEXT,
    ".html": Format.HTML,
    ".htm": Format.HTML,
    ".xhtml": Format.HTML,
    ".pdf": Format.PDF,
    ".docx": Format.DOCX,
}
_TYPES = {item.value: item for item in Format} | {
    "text/x-markdown": Format.MARKDOWN,
    "application/xhtml+xml": Format.HTML,
    "application/x-pdf": Format.PDF,
}
_BINARY = (
    b"%PDF-", b"PK\x03\x04", b"PK\x05\x06", b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"\x1f\x8b", b"\x7fELF", b"MZ\x90",
    b"\xd0\xcf\x11\xe0", b"7z\xbc\xaf", b"Rar!", b"RIFF", b"ID3", b"OggS", b"BM\x00", b"SQLite format 3",
)  # fmt: skip
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_OLE_ENCRYPTED = "EncryptedPackage".encode("utf-16-le")
_PDF_HEADER_WITHIN = 1024  # bytes; what readers accept before "%PDF-"


def claimed_format(name: str, content_type: str = "") -> Format | None:
    """The format by file name, else by content type; None when neither is one we index.

    The name goes first: browsers send `text/plain` or nothing for Markdown.
    """
    by_name = SUFFIXES.get(PurePath(name).suffix.lower())
    return by_name or _TYPES.get(content_type.partition(";")[0].strip().lower())


def detect_format(data: bytes, name: str, content_type: str = "") -> Format:
    """The format of `data`, checked against its bytes.

    Raises `UnprocessableDocument` with reason UNSUPPORTED, EMPTY, MISMATCH or ENCRYPTED.
    """
    claimed = claimed_format(name, content_type)
    if claimed is None:
        raise failure(FailureReason.UNSUPPORTED)
    if not data.strip(b"\0 \t\r\n"):
        raise failure(FailureReason.EMPTY)
    if not _agrees(claimed, data):
        raise failure(FailureReason.MISMATCH)
    return claimed


def _agrees(claimed: Format, data: bytes) -> bool:
    match claimed:
        case Format.PDF:
            return b"%PDF-" in data[:_PDF_HEADER_WITHIN]
        case Format.DOCX:
            return _is_docx(data)
        case _:
            return not data.startswith(_BINARY) and (claimed == Format.HTML or not _is_web_page(data))


def _is_web_page(data: bytes) -> bool:
    head = data[:2048].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    return head.startswith((b"<!doctype html", b"<html"))


def _is_docx(data: bytes) -> bool:
    if data.startswith(_OLE) and _OLE_ENCRYPTED in data:
        raise failure(FailureReason.ENCRYPTED)
    if not data.startswith(b"PK"):
        return False
    try:
        with zipfile.ZipFile(BytesIO(data)) as archive:
            names = archive.NameToInfo
    except (zipfile.BadZipFile, ValueError, OSError, EOFError, NotImplementedError) as error:
        raise failure(FailureReason.CORRUPT) from error
    return "[Content_Types].xml" in names and any(name.startswith("word/") for name in names)
