"""Where in the session's sound each clause lies, and how much of an answer was therefore heard.

Pure: positions are samples of the session's output, counted over the whole session; characters are those of the
answer's own text, Markdown and all.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

_KEPT_TURNS = 3
_SECONDS_PER_CHAR = 0.22  # of spoken text; only where nothing better is known


@dataclass(frozen=True, slots=True)
class Clause:
    """A clause of the session's sound.

    Attributes:
        turn: whose answer it belongs to.
        start: its first sample.
        samples: its length, None while that is not known.
        text: the answer's own characters from `chars_from` to `chars_to`; with what is not spoken before it.
        spoken: what the synthesiser was given.
        generation: how often the sound was stopped before it.
        acknowledgement: a filler; it stands for none of the answer's characters.
    """

    turn: int
    start: int
    samples: int | None
    text: str
    chars_from: int
    chars_to: int
    spoken: str
    language: str = ""
    generation: int = 0
    acknowledgement: bool = False

    @property
    def end(self) -> int | None:
        """The sample after its last."""
        return None if self.samples is None else self.start + self.samples


@dataclass(frozen=True, slots=True)
class Heard:
    """What of an answer was played: the first `chars` characters of its text, `samples` of sound; `whole` when all."""

    chars: int
    samples: int
    whole: bool


@dataclass(slots=True)
class _Stretch:
    """Sound between two stops: where it begins, and up to where it was played; what was sent beyond is lost."""

    start: int
    played: int
    end: int | None = None


class Timeline:
    """Clauses in the order of their sound. Holds the last few turns.

    Args:
        rate: samples per second.
    """

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._clauses: list[Clause] = []
        self._stretches = [_Stretch(0, 0)]
        self._whole: dict[int, int] = {}

    @property
    def clauses(self) -> Sequence[Clause]:
        """Of the last turns."""
        return tuple(self._clauses)

    @property
    def played(self) -> int:
        """Up to where the sound since the last stop was played."""
        return self._stretches[-1].played

    def add(self, clause: Clause) -> None:
        """The next clause. It replaces what was recorded at its start or later: that was never played."""
        while self._clauses and self._clauses[-1].start >= clause.start:
            self._clauses.pop()
        self._clauses.append(clause)
        turns = sorted({known.turn for known in self._clauses})[-_KEPT_TURNS:]
        self._clauses = [known for known in self._clauses if known.turn in turns]
        self._whole = {turn: chars for turn, chars in self._whole.items() if turn in turns}

    def measured(self, start: int, samples: int) -> None:
        """The clause that begins at `start` is `samples` long."""
        for place in range(len(self._clauses) - 1, -1, -1):
            if self._clauses[place].start == start:
                self._clauses[place] = replace(self._clauses[place], samples=samples)
                return

    def whole(self, turn: int, chars: int) -> None:
        """All of the turn's answer, `chars` characters, is on the timeline."""
        self._whole[turn] = chars

    def cut(self, sent: int) -> None:
        """The sound was stopped; what follows begins at `sent`."""
        stretch = self._stretches[-1]
        stretch.end = sent
        stretch.played = min(stretch.played, sent)
        self._stretches = [*self._stretches[-_KEPT_TURNS:], _Stretch(sent, sent)]

    def report(self, sample: int) -> None:
        """The client has played everything before `sample`. A report that comes after a stop and speaks of the time
        before it counts for that time."""
        for stretch in reversed(self._stretches):
            if sample > stretch.start or stretch is self._stretches[0]:
                limit = sample if stretch.end is None else min(sample, stretch.end)
                stretch.played = max(stretch.played, limit)
                return

    def heard(self, turn: int) -> Heard:
        """What of the turn's answer was played."""
        chars = samples = 0
        complete = True
        for place, clause in enumerate(self._clauses):
            if clause.turn != turn or clause.acknowledgement:
                continue
            length = self._length(place)
            played = min(max(self._played_in(clause.start) - clause.start, 0), length)
            samples += played
            if played < length:
                chars = max(chars, clause.chars_from + _part(clause.text, played / length)) if played else chars
                complete = False
                break
            chars = clause.chars_to
        if complete and turn in self._whole:
            return Heard(self._whole[turn], samples, True)
        return Heard(chars, samples, False)

    def chars_in(self, turn: int, samples: int) -> int:
        """Characters of the turn's answer that its first `samples` of sound say."""
        chars = 0
        for place, clause in enumerate(self._clauses):
            if clause.turn != turn or clause.acknowledgement:
                continue
            length = self._length(place)
            if samples < length:
                return clause.chars_from + _part(clause.text, samples / length) if samples > 0 else chars
            samples -= length
            chars = clause.chars_to
        return self._whole.get(turn, chars)

    def unheard(self, turn: int, played: int) -> list[Clause]:
        """Clauses of the turn's answer that were not played to their end when everything before `played` was."""
        return [
            clause
            for place, clause in enumerate(self._clauses)
            if clause.turn == turn and not clause.acknowledgement and clause.start + self._length(place) > played
        ]

    def _played_in(self, start: int) -> int:
        """Up to where the stretch that holds sample `start` was played."""
        for stretch in reversed(self._stretches):
            if start >= stretch.start:
                return stretch.played
        return 0

    def _length(self, place: int) -> int:
        """Samples of a clause: as measured, else up to the next one of the same sound, else guessed."""
        clause = self._clauses[place]
        if clause.samples is not None:
            return max(clause.samples, 1)
        following = self._clauses[place + 1] if place + 1 < len(self._clauses) else None
        if following is not None and following.generation == clause.generation:
            return max(following.start - clause.start, 1)
        return max(int(len(clause.spoken) * _SECONDS_PER_CHAR * self._rate), 1)


def restored(rate: int, clauses: Iterable[Clause], played: int) -> Timeline:
    """The timeline of a session that goes on elsewhere: `clauses` as they were recorded, played up to `played`."""
    timeline = Timeline(rate)
    for clause in clauses:
        before = timeline.clauses[-1] if timeline.clauses else None
        if before is not None and clause.generation > before.generation:
            timeline.report(clause.start)  # nothing better is known: a client reports before it plays what is new
            timeline.cut(clause.start)
        timeline.add(clause)
    timeline.report(played)
    return timeline


def _part(text: str, share: float) -> int:
    """Characters of `text` of which `share` was spoken; never the half of a Latin word."""
    chars = int(len(text) * share)
    while 0 < chars < len(text) and _latin(text[chars - 1]) and _latin(text[chars]):
        chars -= 1
    return chars


def _latin(char: str) -> bool:
    return char.isascii() and (char.isalnum() or char == "'")
