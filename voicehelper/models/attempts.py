"""One call of one model: it was paid for before it began, and is settled exactly once, however it ends."""

import time
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from typing import Final, cast

from voicehelper.errors import VoiceHelperError
from voicehelper.models.model import Assignment, Caller, Reservation, Settlement
from voicehelper.models.plan import Candidate
from voicehelper.models.ports import Backends, Breakers, Budgets, Experiments, Latencies
from voicehelper.models.tokens import estimate_tokens, prompt_tokens
from voicehelper.models.verdicts import Verdict
from voicehelper.ports.chat import ChatAttempt, ChatDelta, ChatDone, ChatEvent, ChatRequest, ChatToolDelta, ChatUsage
from voicehelper.telemetry.metrics import MODEL_CALLS

Events = AsyncGenerator[ChatEvent, None]
RELEASED: Final = "released"
"""The outcome of a call that was paid for, and then not made."""

_CRASHED: Final = str(VoiceHelperError.code)


@dataclass(frozen=True, slots=True)
class Parts:
    """Whom a call reports to; `timer` tells seconds, for durations."""

    backends: Backends
    breakers: Breakers
    latencies: Latencies
    budgets: Budgets
    experiments: Experiments
    timer: Callable[[], float] = time.perf_counter


class Attempt:
    """A call. Made with its reservation; `close` belongs into a `finally`."""

    __slots__ = (
        "_assignment",
        "_events",
        "_first_ms",
        "_heard",
        "_parts",
        "_reservation",
        "_started",
        "_texts",
        "_tool_chars",
        "candidate",
        "cost",
        "done",
        "request",
        "tools_begun",
        "trail",
        "usage",
    )

    def __init__(
        self,
        parts: Parts,
        candidate: Candidate,
        request: ChatRequest,
        reservation: Reservation,
        assignment: Assignment | None,
    ) -> None:
        self.candidate = candidate
        self.request = request
        self.done: ChatDone | None = None
        self.tools_begun = False
        self.trail: ChatAttempt | None = None
        self.usage = ChatUsage()
        self.cost = 0
        self._parts = parts
        self._reservation = reservation
        self._assignment = assignment
        self._events: Events | None = None
        self._texts: list[str] = []
        self._tool_chars = 0
        self._started = self._heard = parts.timer()
        self._first_ms: float | None = None

    @property
    def caller(self) -> Caller:
        """Who pays."""
        return self._reservation.caller

    @property
    def began(self) -> bool:
        """Whether a piece of the answer came."""
        return self._first_ms is not None

    @property
    def text(self) -> str:
        """What the model said so far."""
        return "".join(self._texts)

    @property
    def silent_s(self) -> float:
        """Since anything came from the model, before its first piece."""
        return 0.0 if self.began else self._parts.timer() - self._heard

    def open(self) -> Events:
        """Call the model. Raises `ModelUnavailable` where it cannot be."""
        model = self._parts.backends.chat(self.candidate.entry)
        self._events = cast("Events", model.stream(self.request))
        return self._events

    def take(self, event: ChatEvent) -> bool:
        """Note an event of the stream; whether it is a piece to be passed on (`ChatDone` is kept in `done`)."""
        kind = type(event)
        if kind is ChatDelta:
            self._texts.append(event.text)  # type: ignore[union-attr]
        elif kind is ChatDone:
            self.done = cast("ChatDone", event)
            return False
        elif kind is ChatToolDelta:
            self.tools_begun = True
            self._tool_chars += len(event.arguments) + len(event.name)  # type: ignore[union-attr]
        else:
            self._heard = self._parts.timer()
            return True
        if self._first_ms is None:
            self._first_ms = (self._parts.timer() - self._started) * 1000
            self._parts.latencies.record(self.candidate.entry.id, self._first_ms)
        return True

    def answered(self) -> None:
        """The stream came to its end: the provider's count is the bill, ours where it gave none."""
        usage = self.done.usage if self.done is not None else ChatUsage()
        counted = bool(usage.prompt_tokens or usage.completion_tokens)
        self._parts.breakers.report(self.candidate.entry.id, True)
        self._settle("answered", usage if counted else self._estimate(), estimated=not counted)

    async def recorded(self) -> None:
        """Whoever is told what a call cost can rely on it: it is in the books first."""
        if self.cost:
            await self._parts.budgets.recorded(self._reservation)

    def failed(self, error: VoiceHelperError, verdict: Verdict) -> None:
        """`error` ended it. Nothing is billed where nothing came, as providers do."""
        model_id = self.candidate.entry.id
        if verdict.blamed:
            self._parts.breakers.report(model_id, False)
        elif verdict.cools:
            self._parts.breakers.cool(model_id, verdict.wait_s)
        if self.began:
            self._settle("broken", self._estimate(), estimated=True, reason=str(error.code))
        else:
            self._settle(str(error.code), ChatUsage())

    def given_back(self) -> None:
        """It will not be called after all."""
        self._settle(RELEASED, ChatUsage())

    def crashed(self) -> None:
        """Something of ours, or of the adapter's, is broken."""
        self._parts.breakers.report(self.candidate.entry.id, False)
        self._settle("broken" if self.began else _CRASHED, self._estimate() if self.began else ChatUsage())

    async def close(self) -> None:
        """Stop the model; what was not settled by now was cancelled by whoever listened."""
        if self.trail is None:
            if self.began:  # it was at work
                self._parts.breakers.report(self.candidate.entry.id, True)
            called = self._events is not None
            self._settle("cancelled", self._estimate() if called else ChatUsage(), estimated=called)
        if self._events is not None:
            await self._events.aclose()

    def _estimate(self) -> ChatUsage:
        said = estimate_tokens(self.text) + (self._tool_chars + 2) // 3
        return ChatUsage(prompt_tokens(self.request), min(said, self.request.max_tokens))

    def _settle(self, outcome: str, usage: ChatUsage, *, estimated: bool = False, reason: str = "") -> None:
        if self.trail is not None:
            return
        entry, ms = self.candidate.entry, (self._parts.timer() - self._started) * 1000
        billed = bool(usage.prompt_tokens or usage.completion_tokens)
        self.usage, self.cost = usage, entry.price.cost(usage) if billed else 0
        self.trail = ChatAttempt(entry.name, outcome, reason, round(ms, 1))
        assignment = self._assignment
        names = (assignment.experiment, assignment.variant) if assignment is not None else ("", "")
        settlement = Settlement(usage, self.cost, outcome, ms, self._first_ms, estimated, *names)
        self._parts.budgets.settle(self._reservation, settlement)
        if outcome == RELEASED:
            return
        if assignment is not None and (not assignment.models or entry.name in assignment.models):
            self._parts.experiments.outcome(self.caller, assignment, settlement)
        # Names that tenants gave are theirs; and there is no end to them.
        MODEL_CALLS.labels(entry.name if entry.tenant_id is None else "own", outcome).inc()
