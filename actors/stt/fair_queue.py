"""Who is written down next: a policy without clock, threads or model."""

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count

from voicehelper.errors import Overloaded

PATIENCE_S = 2.0


@dataclass(frozen=True, slots=True)
class Place:
    """A request's place in the queue.

    Attributes:
        number: names the request.
        stream, final: as in `Recognition`.
        window: seconds of audio the model has to take in for it.
        since: when the stream began to wait.
    """

    number: int
    stream: str
    final: bool
    window: float
    since: float


class FairQueue:
    """Requests of many streams that wait for one model.

    Finals go before partials; among either, the stream that was served longest ago goes first. Lest partials starve
    under many finals, one that has waited for `PATIENCE_S` leads the next batch. A newer partial of a stream (or its
    final) takes the place of the older one. What goes together is about as long as the first of it: a batch costs as
    much as if all of it were as long as the longest.

    Args:
        limit: most streams waiting.
        stretch: by how many seconds another of a batch may differ from the first.
    """

    def __init__(self, limit: int, stretch: float = 4.0) -> None:
        self._limit = limit
        self._stretch = stretch
        self._numbers = count()
        self._waiting: dict[int, Place] = {}
        self._served: OrderedDict[str, int] = OrderedDict()
        self._rounds = count(1)

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, stream: str, final: bool, window: float, now: float) -> tuple[Place, tuple[Place, ...]]:
        """Put a request in line; returns its place, and those that it made pointless.

        Raises `Overloaded` when the queue is full.
        """
        pointless = tuple(place for place in self._waiting.values() if place.stream == stream and not place.final)
        if len(self._waiting) - len(pointless) >= self._limit:
            raise Overloaded("Too many utterances wait to be written down", retry_after=1.0)
        for place in pointless:
            del self._waiting[place.number]
        place = Place(next(self._numbers), stream, final, window, min([now, *(p.since for p in pointless)]))
        self._waiting[place.number] = place
        return place, pointless

    def remove(self, place: Place) -> None:
        """Nobody waits for it any more. Harmless for one that has been taken."""
        self._waiting.pop(place.number, None)

    def take(self, most: int, now: float) -> list[Place]:
        """The next batch: at most `most`, none when nothing waits."""
        batch: list[Place] = []
        for place in self._in_order(now):
            if len(batch) == most:
                break
            if not batch or abs(place.window - batch[0].window) <= self._stretch:
                batch.append(place)
        for place in batch:
            del self._waiting[place.number]
            self._serve(place.stream)
        return batch

    def _in_order(self, now: float) -> Iterator[Place]:
        late = min((p for p in self._waiting.values() if now - p.since >= PATIENCE_S), key=_oldest, default=None)
        if late is not None:
            yield late
        yield from sorted((p for p in self._waiting.values() if p is not late), key=self._turn)

    def _turn(self, place: Place) -> tuple[bool, int, float, int]:
        return not place.final, self._served.get(place.stream, 0), place.since, place.number

    def _serve(self, stream: str) -> None:
        self._served[stream] = next(self._rounds)
        self._served.move_to_end(stream)
        while len(self._served) > 4 * self._limit:
            self._served.popitem(last=False)


def _oldest(place: Place) -> tuple[float, int]:
    return place.since, place.number
