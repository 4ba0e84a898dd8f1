"""Stand-ins for what the router needs: nothing to limit, nothing to try, nothing known; and fakes."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import UUID

from voicehelper.errors import ModelUnavailable
from voicehelper.models.model import Assignment, Caller, ModelEntry, Reservation, Settlement
from voicehelper.ports.chat import ChatModel


class NoBudgets:
    """Nobody pays: every call is let through, nothing is written down."""

    async def reserve(
        self, caller: Caller, entry: ModelEntry, prompt_tokens: int, completion_tokens: int
    ) -> Reservation:
        """A reservation of nothing."""
        return Reservation(uuid.uuid4(), caller, entry.name, entry.provider, 0, 0, soft=False, at=0.0)

    def settle(self, reservation: Reservation, settlement: Settlement) -> None:
        """Forgotten."""

    async def recorded(self, reservation: Reservation) -> None:
        """At once."""


class NoExperiments:
    """No experiment runs."""

    async def assign(self, caller: Caller, model: str) -> Assignment | None:
        """None."""
        return None

    def outcome(self, caller: Caller, assignment: Assignment, settlement: Settlement) -> None:
        """Forgotten."""


class NoBreakers:
    """Every model may be called, always."""

    def open_for(self, model_id: UUID) -> float:
        """0."""
        return 0.0

    async def admit(self, model_id: UUID) -> bool:
        """True."""
        return True

    def report(self, model_id: UUID, ok: bool) -> None:
        """Forgotten."""

    def cool(self, model_id: UUID, seconds: float) -> None:
        """Forgotten."""


class NoLatencies:
    """Nothing is known of any model's speed."""

    def p95_ms(self, model_id: UUID) -> float | None:
        """None."""
        return None

    def record(self, model_id: UUID, first_ms: float) -> None:
        """Forgotten."""


@dataclass
class FakeCatalogue:
    """The same models for every tenant."""

    models: dict[str, ModelEntry] = field(default_factory=dict)

    def of(self, tenant_id: UUID) -> Mapping[str, ModelEntry]:
        """All of them."""
        return self.models


@dataclass
class FakeBackends:
    """Models by the name of their entry; any other is unavailable."""

    models: dict[str, ChatModel] = field(default_factory=dict)

    def chat(self, entry: ModelEntry) -> ChatModel:
        """See `Backends`."""
        model = self.models.get(entry.name)
        if model is None:
            raise ModelUnavailable("No such backend")
        return model
