"""Server-sent events, as far as chat vendors use them: each event's data is one line of JSON."""

from voicehelper.errors import ModelUnavailable

_DATA = b"data:"
_DONE = b"[DONE]"
_LONGEST_LINE = 8 * 2**20
_LONGEST_OTHER = 64 * 2**10


class EventLines:
    """Cuts the bytes of a stream into the payloads of its events.

    Names of events, ids and comments are dropped: the payloads say what they are. `done` is set by OpenAI's `[DONE]`.
    """

    def __init__(self) -> None:
        self.done = False
        self._tail = b""
        self._other = b""  # what came instead of events
        self._any = False

    def feed(self, piece: bytes) -> list[bytes]:
        """The payloads that `piece` completes. Raises `ModelUnavailable` for a line without end."""
        *lines, tail = (self._tail + piece if self._tail else piece).split(b"\n")
        if len(tail) > _LONGEST_LINE:
            raise ModelUnavailable("The model server sends a line without end")
        self._tail = tail
        payloads = []
        for line in lines:
            if line.startswith(_DATA):
                payload = line[5:].strip()
                if payload == _DONE:
                    self.done = True
                else:
                    payloads.append(payload)
            elif not self._any and len(self._other) < _LONGEST_OTHER:
                self._other += line + b"\n"
        self._any = self._any or bool(payloads)
        return payloads

    def rest(self) -> bytes:
        """At the stream's end: an answer that is not a stream but one JSON object (an error, or the whole answer of a
        server that cannot stream); empty where there is none."""
        if self._any:
            return self._tail[5:].strip() if self._tail.startswith(_DATA) else b""
        whole = (self._other + self._tail).strip()
        return whole if whole.startswith(b"{") else b""
