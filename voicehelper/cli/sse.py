"""Reading server-sent events (WHATWG HTML, "Interpreting an event stream")."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class ServerEvent:
    """An event: its type, its number in the stream, its JSON data."""

    name: str
    id: str
    data: dict[str, Any]


def split_lines(pieces: Iterable[str]) -> Iterator[str]:
    """Lines of a text that comes in pieces. Only LF and CR LF end one: `str.splitlines`, and with it httpx, would also
    cut at U+2028, U+2029 and U+0085 within the data."""
    rest = ""
    for piece in pieces:
        *lines, rest = (rest + piece).split("\n")
        for line in lines:
            yield line.removesuffix("\r")
    if rest:
        yield rest


def read_events(lines: Iterable[str]) -> Iterator[ServerEvent]:
    """Events from the lines of a stream (without their ends). An event that is not finished by a blank line is lost."""
    fields: dict[str, str] = {}
    for line in lines:
        if not line:
            if "data" in fields:
                yield ServerEvent(fields.get("event", "message"), fields.get("id", ""), json.loads(fields["data"]))
            fields = {}
            continue
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data" and "data" in fields:
            fields["data"] += "\n" + value
        elif name:  # a line that begins with a colon is a comment
            fields[name] = value
