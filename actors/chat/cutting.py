"""Stop words that a vendor does not take, looked for on our side."""

from collections.abc import Iterable

from voicehelper.ports.chat import ChatDelta, ChatEvent


class Cut:
    """Lets text through up to the first of `stops`.

    A stop word may come in pieces: as many characters as could be its beginning are held back until the next piece.
    """

    def __init__(self, stops: tuple[str, ...]) -> None:
        self.stops = stops
        self.found = False
        self.said = ""
        self._held = ""

    def events(self, events: Iterable[ChatEvent]) -> list[ChatEvent]:
        """`events` with their text cut."""
        kept: list[ChatEvent] = []
        for event in events:
            if not isinstance(event, ChatDelta):
                kept.append(event)
            elif text := self.feed(event.text):
                kept.append(ChatDelta(text))
        return kept

    def feed(self, text: str) -> str:
        """What may be said now; nothing once a stop word was found."""
        if self.found:
            return ""
        text = self._held + text
        places = [place for stop in self.stops if (place := text.find(stop)) >= 0]
        self.found = bool(places)
        end = min(places) if places else len(text) - self._open(text)
        self._held = "" if places else text[end:]
        self.said += text[:end]
        return text[:end]

    def rest(self) -> str:
        """What was held back, once no more text comes."""
        held, self._held = self._held, ""
        return held

    def _open(self, text: str) -> int:
        """Length of the longest end of `text` that begins a stop word."""
        most = max((len(stop) for stop in self.stops), default=0) - 1
        for length in range(min(most, len(text)), 0, -1):
            if any(stop.startswith(text[-length:]) for stop in self.stops):
                return length
        return 0
