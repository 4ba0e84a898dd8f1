"""A router whose models play back scripts, in virtual time; keeps what was reserved, settled and reported."""

import asyncio
import uuid
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from uuid import UUID

from voicehelper.config import ModelSettings
from voicehelper.context import RequestContext, use_context
from voicehelper.errors import BudgetExceeded, ModelUnavailable
from voicehelper.models.attempts import Parts
from voicehelper.models.model import LOCAL, Assignment, Caller, ModelEntry, Price, Reservation, Settlement
from voicehelper.models.null import FakeBackends, FakeCatalogue
from voicehelper.models.routed import RoutedChat
from voicehelper.ports.chat import (
    ChatDelta,
    ChatDone,
    ChatEvent,
    ChatMessage,
    ChatModelInfo,
    ChatRequest,
    ChatUsage,
)

TENANT = UUID(int=7)
USAGE = ChatUsage(100, 50)
EVERY = frozenset({"stream", "tools", "json_schema", "json_object", "logprobs", "vision"})
DONE = ChatDone("stop", USAGE, "remote-name")

Step = ChatEvent | Exception | float | str


class ScriptedModel:
    """Plays one script a call, the last one for ever: texts, events, errors to raise, seconds to wait."""

    def __init__(self, *scripts: Sequence[Step]) -> None:
        self.scripts = list(scripts)
        self.requests: list[ChatRequest] = []
        self.open = 0
        self.most_open = 0

    async def describe(self) -> ChatModelInfo:
        return ChatModelInfo("scripted", 4096, "fake")

    async def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return [len(text) for text in texts]

    async def stream(self, request: ChatRequest) -> AsyncGenerator[ChatEvent, None]:
        script = self.scripts[min(len(self.requests), len(self.scripts) - 1)]
        self.requests.append(request)
        self.open += 1
        self.most_open = max(self.open, self.most_open)
        try:
            for step in script:
                if isinstance(step, Exception):
                    raise step
                if isinstance(step, float | int):
                    await asyncio.sleep(step)
                else:
                    yield ChatDelta(step) if isinstance(step, str) else step
        finally:
            self.open -= 1


class FakeBudgets:
    """Money of one purse; remembers every reservation and every settlement."""

    def __init__(self, micros: int | None = None, soft_from: int | None = None, delay: float = 0.0) -> None:
        self.left = micros
        self.soft_from = soft_from
        self.delay = delay
        self.spent = 0
        self.reserved: dict[UUID, Reservation] = {}
        self.settled: dict[UUID, list[Settlement]] = {}
        self.recorded_calls: list[UUID] = []

    async def reserve(
        self, caller: Caller, entry: ModelEntry, prompt_tokens: int, completion_tokens: int
    ) -> Reservation:
        if self.delay:
            await asyncio.sleep(self.delay)
        most = entry.price.most(prompt_tokens, completion_tokens)
        if self.left is not None and most > self.left:
            raise BudgetExceeded(details={"budget": "tenant"})
        soft = self.soft_from is not None and self.spent + most > self.soft_from
        reservation = Reservation(uuid.uuid4(), caller, entry.name, entry.provider, most, 0, soft, 0.0)
        self.reserved[reservation.id] = reservation
        if self.left is not None:
            self.left -= most
        return reservation

    def settle(self, reservation: Reservation, settlement: Settlement) -> None:
        self.settled.setdefault(reservation.id, []).append(settlement)
        self.spent += settlement.cost_micros
        if self.left is not None:
            self.left += reservation.micros - settlement.cost_micros

    async def recorded(self, reservation: Reservation) -> None:
        assert reservation.id in self.settled
        self.recorded_calls.append(reservation.id)

    @property
    def ends(self) -> list[tuple[str, str, int]]:
        """Model, outcome and cost of each call, in the order of their ends."""
        return [
            (self.reserved[id_].model, settlement.outcome, settlement.cost_micros)
            for id_, settlements in self.settled.items()
            for settlement in settlements
        ]

    def check(self) -> None:
        """Every reservation was settled once."""
        assert set(self.settled) == set(self.reserved)
        assert all(len(settlements) == 1 for settlements in self.settled.values())


@dataclass
class FakeBreakers:
    """As told; keeps the reports."""

    waits: dict[UUID, float] = field(default_factory=dict)
    refused: set[UUID] = field(default_factory=set)
    reports: list[tuple[UUID, bool]] = field(default_factory=list)
    cooled: list[tuple[UUID, float]] = field(default_factory=list)

    def open_for(self, model_id: UUID) -> float:
        return self.waits.get(model_id, 0.0)

    async def admit(self, model_id: UUID) -> bool:
        return model_id not in self.refused

    def report(self, model_id: UUID, ok: bool) -> None:
        self.reports.append((model_id, ok))

    def cool(self, model_id: UUID, seconds: float) -> None:
        self.cooled.append((model_id, seconds))


@dataclass
class FakeLatencies:
    """As told; keeps what was recorded."""

    p95: dict[UUID, float] = field(default_factory=dict)
    recorded: list[tuple[UUID, float]] = field(default_factory=list)

    def p95_ms(self, model_id: UUID) -> float | None:
        return self.p95.get(model_id)

    def record(self, model_id: UUID, first_ms: float) -> None:
        self.recorded.append((model_id, first_ms))


@dataclass
class FakeExperiments:
    """Everybody gets this variant."""

    assignment: Assignment | None = None
    outcomes: list[Settlement] = field(default_factory=list)

    async def assign(self, caller: Caller, model: str) -> Assignment | None:
        return self.assignment

    def outcome(self, caller: Caller, assignment: Assignment, settlement: Settlement) -> None:
        self.outcomes.append(settlement)


class LoopClock:
    """The running loop's time, which tests make jump."""

    def now(self) -> float:
        return asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


def entry(name: str, **given: object) -> ModelEntry:
    """A model of the platform's that costs a micro-dollar a token."""
    defaults = {"id": uuid.uuid5(TENANT, name), "provider": "openai", "capabilities": EVERY, "context_tokens": 8000}
    price = {"price": Price(1_000_000, 1_000_000)}
    return ModelEntry(**{"name": name} | defaults | price | given)


@dataclass
class Rig:
    """Models with their scripts, in the catalogue's order; `local` is the instance's own."""

    models: dict[str, ScriptedModel] = field(default_factory=dict)
    catalogue: dict[str, ModelEntry] = field(default_factory=dict)
    budgets: FakeBudgets = field(default_factory=FakeBudgets)
    breakers: FakeBreakers = field(default_factory=FakeBreakers)
    latencies: FakeLatencies = field(default_factory=FakeLatencies)
    experiments: FakeExperiments = field(default_factory=FakeExperiments)
    settings: ModelSettings = field(default_factory=ModelSettings)
    spread: float = 1.0

    def add(self, name: str, *scripts: Sequence[Step], **given: object) -> ModelEntry:
        """A model; without a script it says its own name."""
        self.models[name] = ScriptedModel(*(scripts or ((f"I am {name}.", DONE),)))
        self.catalogue[name] = entry(name, **given)
        return self.catalogue[name]

    def add_local(self, *scripts: Sequence[Step], **given: object) -> ModelEntry:
        """The instance's own model."""
        return self.add("own", *scripts, **({"provider": LOCAL, "price": Price()} | given))

    @property
    def router(self) -> RoutedChat:
        parts = Parts(
            FakeBackends(dict(self.models)),
            self.breakers,
            self.latencies,
            self.budgets,
            self.experiments,
            lambda: asyncio.get_running_loop().time(),
        )
        local = self.models.get("own", ScriptedModel((ModelUnavailable(),)))
        return RoutedChat(
            FakeCatalogue(self.catalogue),
            parts,
            local,
            self.settings,
            clock=LoopClock(),
            spread=lambda: self.spread,
        )

    async def ask(self, model: str = "", *, deadline: float | None = None, **request: object) -> "Answer":
        """One request to its end, or its error."""
        answer = Answer()
        loop = asyncio.get_running_loop()
        until = None if deadline is None else loop.time() + deadline
        with use_context(RequestContext(str(TENANT), "user-1", "key-1", deadline=until)):
            try:
                async with aclosing(self.router.stream(asked(model, **request))) as events:
                    async for event in events:
                        answer.events.append(event)
            except Exception as error:  # noqa: BLE001 - looked at by the test
                answer.error = error
        answer.seconds = loop.time()
        return answer


def asked(model: str = "", **request: object) -> ChatRequest:
    """A request of some hundred tokens."""
    plain = ChatRequest((ChatMessage("user", "问" * 96),), max_tokens=200, model=model)
    return replace(plain, **request)


@dataclass
class Answer:
    """What a caller got."""

    events: list[ChatEvent] = field(default_factory=list)
    error: Exception | None = None
    seconds: float = 0.0

    @property
    def text(self) -> str:
        return "".join(event.text for event in self.events if isinstance(event, ChatDelta))

    @property
    def done(self) -> ChatDone:
        last = self.events[-1]
        assert isinstance(last, ChatDone), self.error
        return last

    @property
    def tried(self) -> list[tuple[str, str]]:
        route = self.done.route
        assert route is not None
        return [(attempt.model, attempt.outcome) for attempt in route.attempts]

    @property
    def warnings(self) -> tuple[str, ...]:
        route = self.done.route
        assert route is not None
        return route.warnings
