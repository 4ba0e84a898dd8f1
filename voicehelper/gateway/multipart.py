"""Reading an uploaded file as it arrives: nothing of it is held but the chunk at hand."""

from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Self

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import Request

from voicehelper.errors import InvalidInput, MalformedBody, PayloadTooLarge, UnsupportedType

_FIELD = b"file"
_END = object()


@dataclass
class _Part:
    """Headers of the part being read."""

    name: bytes = b""
    value: bytes = b""
    headers: dict[bytes, bytes] = field(default_factory=dict)


class UploadedFile:
    """The one part named `file` of a multipart/form-data body.

    Attributes:
        name: the file's name as the client gave it.
        content_type: as the client declared it.
    """

    def __init__(self, request: Request, limit: int) -> None:
        boundary = _boundary(request.headers.get("content-type", ""))
        self.name = ""
        self.content_type = ""
        self._body = request.stream()
        self._limit = limit
        self._size = 0
        self._part = _Part()
        self._in_file = False
        self._found = False
        self._complete = False
        self._events: deque[bytes | object] = deque()
        try:
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._begin,
                    "on_header_field": self._header_name,
                    "on_header_value": self._header_value,
                    "on_header_end": self._header_end,
                    "on_headers_finished": self._headers_finished,
                    "on_part_data": self._data,
                    "on_part_end": self._end,
                    "on_end": self._finish,
                },
            )
        except FormParserError as error:
            raise MalformedBody("Bad multipart boundary") from error

    @classmethod
    async def open(cls, request: Request, limit: int) -> Self:
        """Read up to the file's first byte.

        Raises:
            UnsupportedType: the body is no multipart/form-data.
            MalformedBody: it is broken.
            InvalidInput: it has no part named `file`, or its file name is in no known encoding.
        """
        file = cls(request, limit)
        while not file._found:
            if not await file._advance():
                raise InvalidInput('The form needs a part named "file"')
        return file

    async def chunks(self) -> AsyncIterator[bytes]:
        """The file's bytes; ends only after the body was read to its proper end.

        Raises:
            PayloadTooLarge: the file is over the limit.
            MalformedBody: the body broke off.
        """
        open_ = True
        while True:
            while self._events:
                event = self._events.popleft()
                if isinstance(event, bytes):
                    yield event
                else:
                    open_ = False
            if not await self._advance():
                break
        if open_ or not self._complete:
            raise MalformedBody("The upload broke off")

    async def _advance(self) -> bool:
        """Parse the next piece of the body; False at its end."""
        piece = await anext(self._body, None)
        if piece is None:
            return False
        try:
            self._parser.write(piece)
        except FormParserError as error:
            raise MalformedBody("Broken multipart body") from error
        return True

    def _begin(self) -> None:
        self._part = _Part()

    def _header_name(self, data: bytes, start: int, end: int) -> None:
        self._part.name += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._part.value += data[start:end]

    def _header_end(self) -> None:
        self._part.headers[self._part.name.lower()] = self._part.value
        self._part.name = self._part.value = b""

    def _headers_finished(self) -> None:
        _, options = parse_options_header(self._part.headers.get(b"content-disposition", b""))
        self._in_file = options.get(b"name") == _FIELD
        if not self._in_file:
            return
        if self._found:
            raise InvalidInput("One file at a time")
        self._found = True
        self.name = _decode(options.get(b"filename", b""))
        self.content_type = self._part.headers.get(b"content-type", b"").decode("latin-1").strip()[:200]

    def _data(self, data: bytes, start: int, end: int) -> None:
        if not self._in_file:
            return
        self._size += end - start
        if self._size > self._limit:
            raise PayloadTooLarge(details={"limit_bytes": self._limit})
        self._events.append(bytes(data[start:end]))

    def _end(self) -> None:
        if self._in_file:
            self._events.append(_END)
        self._in_file = False

    def _finish(self) -> None:
        self._complete = True


def _boundary(content_type: str) -> bytes:
    kind, options = parse_options_header(content_type)
    if kind.lower() != b"multipart/form-data":
        raise UnsupportedType("Send the file as multipart/form-data")
    if not options.get(b"boundary"):
        raise MalformedBody("multipart/form-data without a boundary")
    return options[b"boundary"]


def _decode(filename: bytes) -> str:
    """UTF-8 as browsers send it, else GB 18030 as old Chinese clients do."""
    for encoding in ("utf-8", "gb18030"):
        try:
            return filename.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise InvalidInput("The file name is in no known encoding")
