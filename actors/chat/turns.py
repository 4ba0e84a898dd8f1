"""Turns at reading prompts: the queue before the engine's slots, and the order within them (`fairness` decides)."""

import asyncio
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from actors.chat.fairness import LONG, REST_S, Load, Piece, Reader, long_slots, next_piece, pass_over
from voicehelper.errors import ModelUnavailable, Overloaded
from voicehelper.telemetry.metrics import QUEUE_LENGTH

_FIRST_GUESS_S = 5.0
_SMOOTHING = 0.2


@dataclass(eq=False, slots=True)
class Ticket:
    """One request, from its entry until its slot is free again."""

    reader: Reader
    long: bool
    granted: "asyncio.Future[int] | None" = None
    reading: int = 0
    decoding: bool = False
    left: bool = False
    since: float = field(default=0.0)


class Turns:
    """Gives `parallel` slots and, piece by piece, the right to read to the requests that entered; at most `queue` wait
    for a slot. Used on one event loop.

    A request: `enter`, `turn` (as often as it takes, each answered by `read`), `step` at each piece of output, `leave`.
    """

    def __init__(self, name: str, parallel: int, queue: int, now: Callable[[], float] = time.monotonic) -> None:
        self.parallel = parallel
        self.queue = queue
        self._now = now
        self._tickets: list[Ticket] = []
        self._closed = False
        self._steps = 0
        self._paused_at = -math.inf  # when the last piece ended that was not the end of its prompt
        self._timer: asyncio.TimerHandle | None = None
        self._mean_s = _FIRST_GUESS_S
        self._gauge = QUEUE_LENGTH.labels(name)

    @property
    def waiting(self) -> int:
        """Requests without a slot."""
        return sum(not ticket.reader.seated for ticket in self._tickets)

    @property
    def running(self) -> int:
        """Requests with a slot."""
        return len(self._tickets) - self.waiting

    def check(self, unread: int = 1) -> None:
        """Raises `Overloaded` when one more request would be too many, with an estimate of when it would not be.

        A short one may still have a free slot that is kept from the long ones that wait.
        """
        free = self.parallel - self.running
        short = sum(not ticket.long and not ticket.reader.seated for ticket in self._tickets)
        if self.waiting - free >= self.queue and (unread > LONG or short >= free):
            raise Overloaded("The model's queue is full", {"queue": "full"}, self.estimate_s())

    def enter(self, unread: int) -> Ticket:
        """A request with so many tokens to read. Raises `Overloaded`."""
        self.check(unread)
        ticket = Ticket(Reader(unread), unread > LONG)
        self._tickets.append(ticket)
        self._gauge.set(self.waiting)
        return ticket

    async def turn(self, ticket: Ticket) -> int:
        """Wait until so many tokens (what is returned) may be read; the first time this gives the request its slot.

        Raises `ModelUnavailable` when the model is unloaded, or the request has left.
        """
        if self._closed or ticket.left:
            raise ModelUnavailable("The model is being unloaded")
        ticket.granted = asyncio.get_running_loop().create_future()
        self._pump()
        return await ticket.granted

    def read(self, ticket: Ticket, unread: int) -> None:
        """The piece is read; `unread` tokens are left, 0 when output follows."""
        ticket.reading = 0
        ticket.reader.unread = unread
        ticket.decoding = unread == 0
        if unread:
            self._steps, self._paused_at = 0, self._now()
        self._pump()

    def step(self) -> None:
        """A piece of some request's output."""
        self._steps += 1
        self._pump()

    def withdraw(self, ticket: Ticket) -> None:
        """Nobody waits for this request any more: if it waits for a turn, that ends with `ModelUnavailable`."""
        if ticket.granted is not None and not ticket.granted.done():
            ticket.granted.set_exception(ModelUnavailable("The request was withdrawn"))

    def leave(self, ticket: Ticket) -> None:
        """The request is over and its slot free."""
        if ticket.left:
            return
        ticket.left = True
        self._tickets.remove(ticket)
        if ticket.reader.seated:
            self._mean_s += _SMOOTHING * (self._now() - ticket.since - self._mean_s)
        self._gauge.set(self.waiting)
        self._pump()

    def close(self) -> None:
        """Nobody gets a turn any more."""
        self._closed = True
        for ticket in self._tickets:
            self.withdraw(ticket)

    def estimate_s(self) -> float:
        """Whole seconds until the queue has room, from the mean of recent requests; at least 1."""
        return float(max(1, math.ceil(self._mean_s / self.parallel)))

    def _pump(self) -> None:
        """Grant what may be granted."""
        while waiting := self._unread():
            readers = [ticket.reader for ticket in waiting]
            piece = next_piece(readers, self._load())
            if piece is None:
                self._look_again()
                return
            pass_over(readers, piece)
            self._grant(waiting[piece.reader], piece)

    def _unread(self) -> list[Ticket]:
        return [ticket for ticket in self._tickets if ticket.granted is not None and not ticket.granted.done()]

    def _grant(self, ticket: Ticket, piece: Piece) -> None:
        if not ticket.reader.seated:
            ticket.reader.seated, ticket.since = True, self._now()
            self._gauge.set(self.waiting)
        ticket.reading = piece.tokens
        if ticket.granted is not None:
            ticket.granted.set_result(piece.tokens)

    def _load(self) -> Load:
        decoding = sum(ticket.decoding for ticket in self._tickets)
        seated = [ticket for ticket in self._tickets if ticket.reader.seated]
        return Load(
            free_slots=self.parallel - len(seated),
            long_seats=long_slots(self.parallel) - sum(ticket.long for ticket in seated),
            reading=sum(ticket.reading for ticket in self._tickets),
            decoding=decoding,
            steps=self._steps / max(1, decoding),
            rested_s=self._now() - self._paused_at,
        )

    def _look_again(self) -> None:
        """The decoders may show no step: a reader that waits for them waits no longer than the rest."""
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(REST_S, self._rested)

    def _rested(self) -> None:
        self._timer = None
        if self._now() - self._paused_at < 2 * REST_S:
            self._pump()
