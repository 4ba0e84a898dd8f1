"""One request on its way through the models: what was tried, what it cost, what the caller has been told."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from voicehelper.errors import (
    BrokenStream,
    BudgetExceeded,
    ContextTooLong,
    InvalidInput,
    ModelUnavailable,
    UnknownModel,
    VoiceHelperError,
)
from voicehelper.models.attempts import Attempt
from voicehelper.models.joining import Joint, continuing
from voicehelper.models.model import Assignment, Caller
from voicehelper.models.plan import Candidate, Needs, Plan
from voicehelper.models.verdicts import Verdict
from voicehelper.ports.chat import ChatAttempt, ChatDelta, ChatDone, ChatEvent, ChatRequest, ChatRoute, ChatUsage

_OVERRIDES = frozenset(
    {"max_tokens", "temperature", "top_p", "seed", "presence_penalty", "frequency_penalty", "logprobs"}
)


def overridden(request: ChatRequest, assignment: Assignment | None) -> ChatRequest:
    """`request` as the variant has it."""
    if assignment is None or not assignment.overrides:
        return request
    return replace(request, **{name: value for name, value in assignment.overrides.items() if name in _OVERRIDES})


@dataclass(slots=True)
class Run:
    """The state of one request.

    Attributes:
        model: the name that was asked for, resolved.
        attempt: the present call.
        queue: candidates of this round, the next one first.
        again: those that may be called once more in the next round, each after so many seconds.
        calls: made so far; rounds: gone through.
        error: of the last call.
        joint: where another model goes on.
    """

    request: ChatRequest
    caller: Caller
    model: str
    needs: Needs
    replan: Callable[[], Plan]  # for when a soft limit shows
    assignment: Assignment | None = None
    soft: bool = False
    queue: list[Candidate] = field(default_factory=list)
    again: list[tuple[float, Candidate]] = field(default_factory=list)
    calls: int = 0
    rounds: int = 0
    error: VoiceHelperError | None = None
    over_budget: BudgetExceeded | None = None
    joint: Joint | None = None
    plan: Plan = field(init=False)
    attempt: Attempt = field(init=False)
    ended: list[Attempt] = field(default_factory=list)
    skipped: list[tuple[int, ChatAttempt]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def begin(self, plan: Plan) -> None:
        """Go by this plan. Raises what keeps the request from every model."""
        self.plan = plan
        self.queue = list(plan.candidates)
        self.again = []
        if plan.strategy == "named":  # of all the others that `auto` leaves out nobody asked
            self.skipped = [(0, ChatAttempt(name, "skipped", reason)) for name, reason in plan.left_out]
        if not self.queue:
            raise nowhere(self.model, plan)

    def degrade(self, attempt: Attempt) -> bool:
        """A soft limit has shown: plan again. Whether `attempt` may still be made, now with fewer tokens."""
        self.soft = True
        self.begin(self.replan())
        self.warn(*self.plan.warnings)
        if self.queue[0].entry is attempt.candidate.entry:
            attempt.candidate = self.queue.pop(0)
            attempt.request = self.prepared(attempt.candidate)
            return True
        attempt.given_back()
        return False

    def warn(self, *words: str) -> None:
        """Say so in the route."""
        self.warnings += [word for word in words if word not in self.warnings]

    def passed_on(self, event: ChatEvent) -> ChatEvent | None:
        """`event` of the present call as the caller gets it; None where that is not at all."""
        if not self.attempt.take(event):
            return None
        if self.joint is None or not isinstance(event, ChatDelta):
            return event
        text = self.joint.feed(event.text)
        return ChatDelta(text) if text else None

    def finished(self) -> Sequence[ChatEvent]:
        """The present call's stream is over: settle it; the last events. Raises where that was not its end."""
        attempt = self.attempt
        if attempt.done is None:
            raise BrokenStream if attempt.began else ModelUnavailable("The model ended without an answer")
        attempt.answered()
        done = self._done(attempt, attempt.done)
        rest = self.joint.finish() if self.joint is not None else ""
        return (ChatDelta(rest), done) if rest else (done,)

    def won(self, attempt: Attempt, others: Sequence[Attempt]) -> None:
        """Of those that ran side by side, `attempt` goes on, and the others are over."""
        self.ended += [other for other in others if other is not attempt and other not in self.ended]
        self.attempt = attempt

    def skip(self, candidate: Candidate, reason: str) -> None:
        """It was not called, and why."""
        self.skipped.append((len(self.ended), ChatAttempt(candidate.entry.name, "skipped", reason)))

    def too_dear(self, candidate: Candidate, error: BudgetExceeded) -> None:
        """Neither this one nor any that costs as much can be paid."""
        self.over_budget = error
        self.skip(candidate, "budget")
        self.queue = [other for other in self.queue if other.cost < candidate.cost]
        self.again = [other for other in self.again if other[1].cost < candidate.cost]

    def note(self, attempt: Attempt, error: VoiceHelperError, verdict: Verdict) -> None:
        """A call failed: what that leaves to be tried."""
        self.error = error
        self.ended.append(attempt)
        if verdict.again:
            self.again.append((verdict.wait_s, attempt.candidate))

    def next_round(self) -> None:
        """What may be called again is, those first that wait the least."""
        self.again.sort(key=lambda other: other[0])
        self.queue = [candidate for _, candidate in self.again]
        self.again = []
        self.rounds += 1

    def go_on(self, attempt: Attempt) -> None:
        """`attempt` broke off: another is to finish what the caller has heard the beginning of."""
        self.joint = Joint(attempt.text if self.joint is None else self.joint.whole)
        self.queue.sort(key=lambda candidate: "continue" not in candidate.entry.capabilities)
        self.warn("continued_elsewhere")

    @property
    def formed(self) -> bool:
        """Whether the answer has a form that two models cannot share."""
        request = self.request
        return request.json_schema is not None or request.json_object or request.logprobs is not None

    def given_up(self) -> VoiceHelperError:
        """What the caller is told when nothing more can be tried."""
        if self.joint is not None:
            return self.failure(BrokenStream())
        error = self.error or self.over_budget
        return self.failure(error or ModelUnavailable(details={"model": self.model}, retry_after=1.0))

    def prepared(self, candidate: Candidate) -> ChatRequest:
        """What the model is given."""
        if self.joint is not None:
            return continuing(self.request, self.joint.whole, candidate.entry)
        if candidate.max_tokens == self.request.max_tokens:
            return self.request
        return replace(self.request, max_tokens=candidate.max_tokens)

    def route(self, attempt: Attempt) -> ChatRoute:
        """How the request came to its answer; `attempt` gave it."""
        attempts = self._trail([*self.ended, attempt]) if self.ended or self.skipped else (attempt.trail,)
        assignment = self.assignment
        return ChatRoute(
            attempt.candidate.entry.provider,
            self.plan.strategy,
            tuple(trail for trail in attempts if trail is not None),
            assignment.experiment if assignment is not None else "",
            assignment.variant if assignment is not None else "",
            tuple(self.warnings),
            attempt.cost + sum(ended.cost for ended in self.ended),
        )

    def _done(self, attempt: Attempt, done: ChatDone) -> ChatDone:
        usage = attempt.usage
        if self.joint is not None:
            usage = _together([*(ended.usage for ended in self.ended), usage])
        return ChatDone(done.finish_reason, usage, attempt.candidate.entry.name, self.route(attempt))

    def failure(self, error: VoiceHelperError) -> VoiceHelperError:
        """`error` with what was tried before it."""
        tried = [{"model": trail.model, "outcome": trail.outcome} for trail in self._trail(self.ended)]
        return type(error)(error.message, {**error.details, "tried": tried}, error.retry_after) if tried else error

    def _trail(self, attempts: Sequence[Attempt]) -> list[ChatAttempt]:
        trail = [attempt.trail for attempt in attempts if attempt.trail is not None]
        for at, (place, skipped) in enumerate(self.skipped):
            trail.insert(place + at, skipped)
        return trail


def nowhere(model: str, plan: Plan) -> VoiceHelperError:
    """Why a plan has no candidates."""
    reasons = [reason for _, reason in plan.left_out]
    details = {"model": model}
    if "open" in reasons:
        return ModelUnavailable(details=details, retry_after=max(1.0, plan.wait_s))
    if "context" in reasons:
        return ContextTooLong(details=details)
    lacking = sorted({reason.removeprefix("lacks:") for reason in reasons if reason.startswith("lacks:")})
    if lacking:
        return InvalidInput(f"No model that may answer this can do it: {', '.join(lacking)}", details)
    return UnknownModel(details=details)


def _together(usages: Sequence[ChatUsage]) -> ChatUsage:
    return ChatUsage(
        sum(usage.prompt_tokens for usage in usages),
        sum(usage.completion_tokens for usage in usages),
        sum(usage.cached_tokens for usage in usages),
        sum(usage.reasoning_tokens for usage in usages),
    )
