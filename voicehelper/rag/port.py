"""The answerer's port: a question in, a stream of events out."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Protocol

from voicehelper.rag.events import AnswerDelta, AnswerDone, AnswerEvent, AnswerStatus, Question


class QuestionAnswerer(Protocol):
    """Answers questions from what the knowledge bases hold."""

    def answer(self, question: Question) -> AsyncIterator[AnswerEvent]:
        """Statuses and deltas, then citations, then one `AnswerDone`. An async generator: closing it stops the model.

        Raises `ModelUnavailable`, `Overloaded`, `Unavailable`.
        """
        ...

    async def prepare(self, question: Question) -> None:
        """Run ahead for what will probably be asked: find, and have the model, while it is idle, read the prompt.
        Returns when that is done. Cancelling gives it up; `answer` uses what there is if the same words are asked."""
        ...


class FakeAnswerer:
    """Plays back `events` (by default the question itself as a refusal), waiting `delay` seconds before each; raises
    `error` after them, if set. Keeps the questions; `stopped` counts answers that were closed or cancelled midway."""

    def __init__(
        self, events: Sequence[AnswerEvent] | None = None, delay: float = 0.0, error: Exception | None = None
    ) -> None:
        self.events = events
        self.delay = delay
        self.error = error
        self.questions: list[Question] = []
        self.prepared: list[Question] = []
        self.stopped = 0

    async def answer(self, question: Question) -> AsyncIterator[AnswerEvent]:
        """The scripted events."""
        self.questions.append(question)
        echo = (AnswerStatus("answering"), AnswerDelta(question.text), AnswerDone("refused", model="fake"))
        try:
            for event in echo if self.events is None else self.events:
                if self.delay:
                    await asyncio.sleep(self.delay)
                yield event
        except (GeneratorExit, asyncio.CancelledError):
            self.stopped += 1
            raise
        if self.error is not None:
            raise self.error

    async def prepare(self, question: Question) -> None:
        """Kept."""
        self.prepared.append(question)
