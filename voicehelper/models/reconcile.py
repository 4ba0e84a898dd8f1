"""Whether the counters say what the ledger says, to the micro-dollar; and making it so."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from voicehelper.errors import Unavailable
from voicehelper.models.counters import Counters, Snapshot
from voicehelper.models.ledger import Ledger, LedgerEntry, LedgerTurn

_PATIENCE_S = 30.0


@dataclass(frozen=True, slots=True)
class MonthCheck:
    """One tenant's month, in micro-dollars.

    Attributes:
        ledger: in the table, and known to the counters.
        stream: on the way there.
        counter: what the tenant's counter says; None where the month is not open: its counters are made of the
            ledger when somebody next needs them.
        wrong: by subject, what has to be added to its counter.
    """

    tenant_id: UUID
    month: str
    ledger: int
    stream: int
    counter: int | None
    wrong: Mapping[str, int] = field(default_factory=dict)

    @property
    def difference(self) -> int:
        """Of the tenant's counter from what it ought to be."""
        return 0 if self.counter is None else self.counter - self.ledger - self.stream

    @property
    def right(self) -> bool:
        """Whether every counter of the month is right."""
        return not self.wrong


@dataclass(frozen=True, slots=True)
class TenantCheck:
    """A tenant's months, and `held_wrong`: by `month|subject`, the difference between what counts as set aside and the
    reservations there are."""

    months: Sequence[MonthCheck]
    held_wrong: Mapping[str, int] = field(default_factory=dict)

    @property
    def right(self) -> bool:
        """Whether everything is."""
        return not self.held_wrong and all(month.right for month in self.months)


async def check(
    counters: Counters, ledger: Ledger, tenant_id: UUID, months: Sequence[str], *, fix: bool = False
) -> TenantCheck:
    """Compare, while calls go on: the ledger is locked, so that nothing moves from the stream into it, and counters and
    stream are read at one moment. With `fix`, what was missing is added. Raises `Unavailable`."""
    async with ledger.turn(tenant_id, _PATIENCE_S) as turn:
        if turn is None:
            raise Unavailable("The ledger of this tenant is busy")
        snapshot = await counters.snapshot(tenant_id, months)
        entries = [item.entry for item in snapshot.streamed if item.entry is not None]
        known = await turn.known([entry.id for entry in entries])
        waiting = [entry for entry in entries if entry.id not in known]
        found = [await _month(turn, tenant_id, month, waiting, snapshot) for month in months]
        held_wrong = _held_wrong(snapshot)
        if fix:
            for month in found:
                if month.wrong:
                    await counters.adjust(tenant_id, month.month, month.wrong)
            if held_wrong:
                await counters.adjust(tenant_id, None, held_wrong)
    return TenantCheck(found, held_wrong)


async def _month(
    turn: LedgerTurn, tenant_id: UUID, month: str, waiting: Sequence[LedgerEntry], snapshot: Snapshot
) -> MonthCheck:
    ledger, stream, counted = await turn.sums(month), of_stream(waiting, month), snapshot.months[month]
    gone = await turn.gone(sorted({*stream, *(counted or {})}))
    counted = None if counted is None else nameless(counted, gone)
    return compare(tenant_id, month, nameless(ledger, gone), nameless(stream, gone), counted)


def of_stream(entries: Sequence[LedgerEntry], month: str) -> dict[str, int]:
    """Micro-dollars of a month by subject."""
    sums: dict[str, int] = {}
    for entry in entries:
        if entry.month == month:
            for subject in ("t", f"u:{entry.user_id}", f"k:{entry.key_id}"):
                sums[subject] = sums.get(subject, 0) + entry.cost_micros
    return sums


def nameless(sums: Mapping[str, int], gone: Collection[str]) -> dict[str, int]:
    """What was erased users' and keys' counts as nobody's: the counters keep their ids until the month is closed."""
    merged: dict[str, int] = {}
    for subject, micros in sums.items():
        name = subject[:2] if subject in gone else subject
        merged[name] = merged.get(name, 0) + micros
    return merged


def compare(
    tenant_id: UUID, month: str, ledger: Mapping[str, int], stream: Mapping[str, int], counted: Mapping[str, int] | None
) -> MonthCheck:
    """What is wrong with a month's counters, where they are open."""
    wrong: dict[str, int] = {}
    if counted is not None:
        for subject in {*ledger, *stream, *counted}:
            missing = ledger.get(subject, 0) + stream.get(subject, 0) - counted.get(subject, 0)
            if missing:
                wrong[subject] = missing
    tenant = None if counted is None else counted.get("t", 0)
    return MonthCheck(tenant_id, month, ledger.get("t", 0), stream.get("t", 0), tenant, wrong)


def _held_wrong(snapshot: Snapshot) -> dict[str, int]:
    names = {*snapshot.reserved, *snapshot.held}
    differences = {name: snapshot.held.get(name, 0) - snapshot.reserved.get(name, 0) for name in names}
    return {name: amount for name, amount in differences.items() if amount}
