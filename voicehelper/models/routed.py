"""The router: a `ChatModel` made of all the models of a tenant.

One request, whatever happens to a provider, gets its answer inside its deadline from some model that its tenant may
use and pay for; the last event says which were tried, what it cost, and what was degraded (docs/routing.md).
"""

import asyncio
import random
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from functools import lru_cache
from typing import cast
from uuid import UUID

from voicehelper.config import ModelSettings
from voicehelper.context import RequestContext, current_context
from voicehelper.errors import (
    BrokenStream,
    BudgetExceeded,
    ModelSilent,
    UnknownModel,
    VoiceHelperError,
)
from voicehelper.models.attempts import Attempt, Events, Parts
from voicehelper.models.hedge import Runner, first_of
from voicehelper.models.model import AUTO, LOCAL, Caller, ModelEntry
from voicehelper.models.plan import Needs, Plan, View, is_auto, plan
from voicehelper.models.ports import Catalogue
from voicehelper.models.run import Run, overridden
from voicehelper.models.tokens import prompt_tokens
from voicehelper.models.verdicts import judge
from voicehelper.models.worst_case import most_tokens
from voicehelper.ports.chat import ChatEvent, ChatModel, ChatModelInfo, ChatRequest
from voicehelper.ports.clock import Clock, SystemClock
from voicehelper.telemetry import get_logger

log = get_logger(__name__)

_SHORT_S = 2.0  # a longer wait for a busy model is its caller's affair
_PATIENCE_S = 10.0
_SLOWER = 5.0  # than nineteen of twenty calls were: given up while another can be asked
_LONGEST_BACKOFF_S = 5.0
_SOFT_S = 10.0  # for so long a caller over a soft limit is known as one
_REMEMBERED = 10_000

_uuid = lru_cache(maxsize=4096)(UUID)


class RoutedChat:
    """Duties: plan, pay, call, fall back, go on elsewhere, account. It holds no state between requests but
    who is over a soft limit.

    Args:
        catalogue: what each tenant may use.
        parts: whom calls report to.
        local: the instance's own model: asked directly outside any tenant, and for counting tokens.
        settings: strategies, attempts, what to do after a break.
        clock: wall time, and waiting between attempts.
        spread: a number from 0 to 1, for jitter.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        parts: Parts,
        local: ChatModel,
        settings: ModelSettings | None = None,
        *,
        clock: Clock | None = None,
        spread: Callable[[], float] = random.random,
    ) -> None:
        self._catalogue = catalogue
        self._parts = parts
        self._local = local
        self._settings = settings or ModelSettings()
        self._clock = clock or SystemClock()
        self._spread = spread
        self._soft: dict[Caller, float] = {}
        self._view = View(parts.breakers.open_for, parts.latencies.p95_ms)

    async def describe(self) -> ChatModelInfo:
        """The instance's own model."""
        return await self._local.describe()

    async def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """By the tokenizer of the instance's own model."""
        return await self._local.count_tokens(texts)

    def stream(self, request: ChatRequest) -> AsyncGenerator[ChatEvent, None]:
        """See `ChatModel.stream`. The caller is that of the current context; `ChatDone.route` says what was done.

        Raises also `UnknownModel`, `BudgetExceeded`, `TokensLimited`, and `Unavailable` where limits cannot be kept.
        """
        context = current_context()
        if context.tenant_id:
            return self._routed(request, context)
        return cast("AsyncGenerator[ChatEvent, None]", self._local.stream(request))

    async def _routed(self, request: ChatRequest, context: RequestContext) -> AsyncGenerator[ChatEvent, None]:
        run = await self._begin(request, context)
        while True:
            run.attempt = await self._next(run, context)
            try:
                first, events = await self._open(run, context)
                if first is not None and (piece := run.passed_on(first)) is not None:
                    yield piece
                async for event in events:
                    if (piece := run.passed_on(event)) is not None:
                        yield piece
                ending = run.finished()
                await run.attempt.recorded()
                for last in ending:
                    yield last
                return
            except VoiceHelperError as error:
                self._failed(run, run.attempt, error)
            except Exception:  # settled as what it is, and handed on
                run.attempt.crashed()
                raise
            finally:
                await run.attempt.close()

    async def _begin(self, request: ChatRequest, context: RequestContext) -> Run:
        caller = Caller(_uuid(context.tenant_id), context.user_id, context.key_id, request.feature)
        models = self._catalogue.of(caller.tenant_id)
        model = request.model or self._default(models)
        if model not in models and not is_auto(model):
            raise UnknownModel(details={"model": model})
        assignment = await self._parts.experiments.assign(caller, model)
        request = overridden(request, assignment)
        needs, strategy = Needs.of(request, prompt_tokens(request)), self._settings.strategy
        soft = self._soft.get(caller, 0.0) > self._clock.now() if self._soft else False

        def planned(soft: bool) -> Plan:
            return plan(model, needs, models, self._view, strategy=strategy, soft=soft, assignment=assignment)

        run = Run(request, caller, model, needs, lambda: planned(True), assignment, soft)
        run.begin(planned(soft))
        if soft:
            run.warn(*run.plan.warnings)
        return run

    def _default(self, models: Mapping[str, ModelEntry]) -> str:
        """What our own features ask: the configured model where the tenant has it, else the instance's own."""
        wanted = self._settings.default_model
        if wanted and (wanted in models or is_auto(wanted)):
            return wanted
        return next((name for name, entry in models.items() if entry.provider == LOCAL), AUTO)

    async def _next(self, run: Run, context: RequestContext) -> Attempt:
        """The next call, paid for. Raises when there is none to be made, or no time for it."""
        while (attempt := await self._pick(run)) is None:
            await self._back_off(run, context)
        return attempt

    async def _pick(self, run: Run) -> Attempt | None:
        """The next call that can be made at once."""
        parts = self._parts
        while run.queue and run.calls < self._settings.attempts:
            candidate = run.queue.pop(0)
            entry = candidate.entry
            if not await parts.breakers.admit(entry.id) and entry.provider != LOCAL:
                run.skip(candidate, "open")
                continue
            request = run.prepared(candidate)
            try:
                reservation = await parts.budgets.reserve(run.caller, entry, *most_tokens(request, entry))
            except BudgetExceeded as error:
                run.too_dear(candidate, error)
                continue
            attempt = Attempt(parts, candidate, request, reservation, run.assignment)
            if reservation.soft and not run.soft and not self._degraded(run, attempt):
                continue
            run.calls += 1
            return attempt
        return None

    def _degraded(self, run: Run, attempt: Attempt) -> bool:
        if len(self._soft) >= _REMEMBERED:
            self._soft.clear()
        self._soft[run.caller] = self._clock.now() + _SOFT_S
        return run.degrade(attempt)

    async def _back_off(self, run: Run, context: RequestContext) -> None:
        """Wait before what failed is called again. Raises when that makes no sense."""
        if not run.again or run.calls >= self._settings.attempts:
            raise run.given_up()
        cooled = min(wait for wait, _ in run.again)
        ceiling = min(_LONGEST_BACKOFF_S, self._settings.backoff_s * 2**run.rounds)
        wait = max(cooled, ceiling * self._spread())
        remaining = context.remaining(self._clock.now())
        if cooled > _SHORT_S or (remaining is not None and remaining <= wait):
            raise run.given_up()
        await self._clock.sleep(wait)
        run.next_round()

    def _failed(self, run: Run, attempt: Attempt, error: VoiceHelperError) -> None:
        """Note it. Raises what the caller is to be told, where nobody else is to be asked."""
        if attempt.trail is not None:  # noted when it ended, beside another
            raise error
        verdict = judge(error, attempt.silent_s, self._settings.after_filter == "next")
        broken = attempt.began
        attempt.failed(error, verdict)
        run.note(attempt, error, verdict)
        log.info("model.failed", model=attempt.candidate.entry.name, code=error.code, began=broken)
        if not verdict.elsewhere:
            raise run.failure(error)
        if not broken:
            return
        if self._settings.after_break != "continue" or attempt.tools_begun or run.formed:
            raise run.failure(error if isinstance(error, BrokenStream) else BrokenStream(details=error.details))
        run.go_on(attempt)

    async def _open(self, run: Run, context: RequestContext) -> tuple[ChatEvent | None, Events]:
        """Call the model of `run.attempt`; while others could be asked, with its first event: no model may spend all
        the time there is, and a late one is hedged. `run.attempt` is another then, where that was quicker."""
        attempt = run.attempt
        events = attempt.open()
        if not run.queue:
            return None, events
        p95_ms = self._parts.latencies.p95_ms(attempt.candidate.entry.id)
        if self._settings.hedge and p95_ms is not None:
            return await self._hedged(run, events, p95_ms / 1000)
        patience = self._patience(context, p95_ms)
        try:
            async with asyncio.timeout(patience) as timer:
                return await anext(events, None), events
        except TimeoutError:
            if timer.expired():
                raise ModelSilent(details={"waited_s": round(patience or 0.0, 1)}) from None
            raise

    def _patience(self, context: RequestContext, p95_ms: float | None) -> float | None:
        """Seconds that a model gets for its first sign of life, while another could be asked."""
        remaining = context.remaining(self._clock.now())
        share = None if remaining is None else remaining / 2
        if p95_ms is None:
            return share
        usual = max(_PATIENCE_S, p95_ms / 1000 * _SLOWER)
        return usual if share is None else min(usual, share)

    async def _hedged(self, run: Run, events: Events, after_s: float) -> tuple[ChatEvent | None, Events]:
        side_by_side = [run.attempt]

        async def challenge() -> Runner | None:
            try:
                second = await self._pick(run)
            except VoiceHelperError:  # no money for two: the first one goes on
                return None
            if second is None:
                return None
            run.warn("hedged")
            side_by_side.append(second)
            try:
                return Runner(second, second.open())
            except VoiceHelperError as error:
                failed(second, error)
                return None

        def failed(loser: Attempt, error: VoiceHelperError) -> None:
            self._failed(run, loser, error)

        winner = await first_of(Runner(run.attempt, events), after_s, challenge, failed)
        run.won(winner.attempt, side_by_side)
        return winner.task.result(), winner.events
