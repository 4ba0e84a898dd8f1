"""What the router needs, each behind its own Protocol."""

from collections.abc import Mapping
from typing import Protocol
from uuid import UUID

from voicehelper.models.model import Assignment, Caller, ModelEntry, Reservation, Settlement
from voicehelper.ports.chat import ChatModel


class Catalogue(Protocol):
    """The models a tenant can use, from this process's memory: never waits."""

    def of(self, tenant_id: UUID) -> Mapping[str, ModelEntry]:
        """Enabled models by name: the tenant's own, the platform's, and the instance's own (`local`)."""
        ...


class Backends(Protocol):
    """Turns entries into models that can be called."""

    def chat(self, entry: ModelEntry) -> ChatModel:
        """The model behind `entry`, made at first use and again when the entry's version changed. Its `stream` uses
        `request.model` not at all: the entry names the remote model. Raises `ModelUnavailable` for a provider that is
        not installed, or an entry without the key it needs."""
        ...


class Breakers(Protocol):
    """Whether models may be called now, by what all replicas saw. Reads never wait: they use what was last heard."""

    def open_for(self, model_id: UUID) -> float:
        """Seconds for which it must not be called; 0: call it (perhaps as a trial)."""
        ...

    async def admit(self, model_id: UUID) -> bool:
        """Take part in the trials of a half-open breaker; True where it is closed. Only a trial asks Redis."""
        ...

    def report(self, model_id: UUID, ok: bool) -> None:
        """A call ended: well, or in a way that is the model's fault. Does not wait."""
        ...

    def cool(self, model_id: UUID, seconds: float) -> None:
        """The model asked not to be called for so long. Does not wait."""
        ...


class Latencies(Protocol):
    """How fast models are, live, over all replicas."""

    def p95_ms(self, model_id: UUID) -> float | None:
        """Of the time to the first piece, in the last minutes; None where too few calls tell."""
        ...

    def record(self, model_id: UUID, first_ms: float) -> None:
        """A first piece came after so long. Does not wait."""
        ...


class Budgets(Protocol):
    """Sets money and tokens aside before a call, and settles after it."""

    async def reserve(
        self, caller: Caller, entry: ModelEntry, prompt_tokens: int, completion_tokens: int
    ) -> Reservation:
        """Set aside the most this call can cost, against tenant, user and key at once. Tokens are the most that the
        provider may count (`models.worst_case`), so that no bill is above its reservation.

        Raises `BudgetExceeded`, `TokensLimited` (nothing was set aside then), and `Unavailable` where there is a limit
        to keep but the counters are away.
        """
        ...

    def settle(self, reservation: Reservation, settlement: Settlement) -> None:
        """Put the true cost in the reservation's place and write the ledger. Does not wait, never raises; survives this
        process as far as the counters do (a reservation never settled expires)."""
        ...

    async def recorded(self, reservation: Reservation) -> None:
        """Wait until a settlement outlives this process, a quarter of a second at most. Never raises."""
        ...


class Experiments(Protocol):
    """Who gets which variant."""

    async def assign(self, caller: Caller, model: str) -> Assignment | None:
        """The variant for this caller of the experiment that runs on `model` (or on all of the tenant's calls); None
        where there is none. Exposure is recorded."""
        ...

    def outcome(self, caller: Caller, assignment: Assignment, settlement: Settlement) -> None:
        """What came of it. Does not wait."""
        ...


class Secrets(Protocol):
    """Provider keys of entries, opened."""

    def key_of(self, entry: ModelEntry) -> str:
        """The stored key; empty where there is none."""
        ...
