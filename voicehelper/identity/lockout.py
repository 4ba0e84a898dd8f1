"""Against guessing: after some wrong passwords an account, and an address, must wait. Kept in the database, so that a
restart forgives nothing; kept for accounts that do not exist as well, so that nothing tells them apart.

An attempt is counted before its password is checked and taken back when it was right: however many guesses come at
once, on however many replicas, no more than the allowed number is ever checked.
"""

import hashlib
import hmac
import ipaddress
from dataclasses import dataclass
from typing import Protocol

from voicehelper.config import IdentitySettings
from voicehelper.errors import AccountLocked
from voicehelper.ports.clock import Clock


@dataclass(frozen=True, slots=True)
class Allowance:
    """How many failures a key may have.

    Attributes:
        key: a keyed hash: the table tells nobody who tried to log in.
        failures: the last that is still let through; it locks the key unless it turns out well.
    """

    key: bytes
    failures: int


@dataclass(frozen=True, slots=True)
class Count:
    """Where a key stands after an attempt was counted. `locked_until`: Unix time, of a refused attempt."""

    failures: int
    locked_until: float | None = None


@dataclass(frozen=True, slots=True)
class Attempt:
    """An attempt that was let through, the `failures`th in a row for its account."""

    account: bytes
    address: bytes | None
    failures: int


class FailureStore(Protocol):
    """Counters by key. Raises `Unavailable`."""

    async def count(self, allowance: Allowance, now: float, window_s: float) -> Count:
        """Count an attempt, atomically; one on a locked key is refused and not counted. Failures older than `window_s`
        are forgotten; the last allowed one locks the key for as long."""
        ...

    async def forget(self, key: bytes) -> None:
        """Start from nought."""
        ...

    async def take_back(self, key: bytes) -> None:
        """One failure less, and no lock."""
        ...

    async def prune(self, before: float) -> None:
        """Delete counters that began before and lock nothing any more."""
        ...


class Lockout:
    """Decides whether a password may be checked at all."""

    def __init__(self, store: FailureStore, clock: Clock, key: bytes, settings: IdentitySettings) -> None:
        """`key` makes the hashes of accounts and addresses: 32 secret bytes."""
        self._store = store
        self._clock = clock
        self._key = key
        self._settings = settings

    def account_key(self, email: str) -> bytes:
        """The keyed hash of a normalised address."""
        return self._hash(f"account:{email}")

    async def begin(self, email: str, address: str) -> Attempt:
        """Count an attempt on the account of `email` (normalised) from `address`.

        Raises:
            AccountLocked: no more attempts before `retry_after`; nothing was checked.
        """
        where = None
        if address:
            where = Allowance(self._hash(f"address:{network(address)}"), self._settings.address_failures)
            await self._count(where)
        account = Allowance(self.account_key(email), self._settings.lockout_failures)
        try:
            failures = await self._count(account)
        except AccountLocked:
            if where:  # one locked account must not lock the whole office out
                await self._store.take_back(where.key)
            raise
        return Attempt(account.key, where.key if where else None, failures)

    async def passed(self, attempt: Attempt) -> None:
        """The password was right: the account starts anew; its address had one failure less than counted."""
        await self._store.forget(attempt.account)
        if attempt.address:
            await self._store.take_back(attempt.address)

    async def unlock(self, email: str) -> None:
        """Forget the failures of an account whose (normalised) address this is."""
        await self._store.forget(self.account_key(email))

    def locks(self, attempt: Attempt) -> bool:
        """Whether this attempt, if it fails, locks its account."""
        return attempt.failures >= self._settings.lockout_failures

    async def prune(self) -> None:
        """Delete what has no meaning any more."""
        await self._store.prune(self._clock.now() - self._settings.lockout_s)

    async def _count(self, allowance: Allowance) -> int:
        now = self._clock.now()
        count = await self._store.count(allowance, now, self._settings.lockout_s)
        if count.locked_until is not None:
            raise AccountLocked(retry_after=max(1.0, count.locked_until - now))
        return count.failures

    def _hash(self, text: str) -> bytes:
        return hmac.digest(self._key, text.encode(), hashlib.sha256)


def network(address: str) -> str:
    """What one subscriber has: the address itself, or an IPv6 /64."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    return str(parsed.ipv4_mapped or ipaddress.ip_network((parsed, 64), strict=False))
