"""The policy of lockouts, on counters in memory."""

import pytest

from voicehelper.config import IdentitySettings
from voicehelper.errors import AccountLocked
from voicehelper.identity.lockout import Allowance, Count, Lockout, network
from voicehelper.ports.clock import FakeClock


class FakeFailures:
    """`FailureStore` in a dictionary: (failures, since, locked until) by key."""

    def __init__(self) -> None:
        self.rows: dict[bytes, tuple[int, float, float | None]] = {}

    async def count(self, allowance: Allowance, now: float, window_s: float) -> Count:
        failures, since, locked = self.rows.get(allowance.key, (0, now, None))
        if locked is not None and locked > now:
            return Count(failures, locked)
        if locked is not None or since + window_s <= now:
            failures, since = 0, now
        failures += 1
        self.rows[allowance.key] = (failures, since, now + window_s if failures >= allowance.failures else None)
        return Count(failures)

    async def forget(self, key: bytes) -> None:
        self.rows.pop(key, None)

    async def take_back(self, key: bytes) -> None:
        failures, since, _ = self.rows[key]
        self.rows[key] = (failures - 1, since, None)

    async def prune(self, before: float) -> None:
        self.rows = {key: row for key, row in self.rows.items() if row[1] >= before}


def lockout(clock: FakeClock, **settings: int) -> tuple[Lockout, FakeFailures]:
    store = FakeFailures()
    return Lockout(store, clock, b"k" * 32, IdentitySettings(**settings)), store


async def test_the_fifth_attempt_is_the_last() -> None:
    clock = FakeClock()
    policy, _ = lockout(clock)
    attempts = [await policy.begin("a@example.com", "") for _ in range(5)]
    assert [policy.locks(attempt) for attempt in attempts] == [False] * 4 + [True]
    with pytest.raises(AccountLocked) as locked:
        await policy.begin("a@example.com", "")
    assert locked.value.retry_after == 900
    await policy.begin("b@example.com", "")
    clock.time += 900
    assert (await policy.begin("a@example.com", "")).failures == 1


async def test_a_right_password_at_the_last_attempt_unlocks() -> None:
    policy, store = lockout(FakeClock())
    for _ in range(4):
        await policy.begin("a@example.com", "203.0.113.9")
    await policy.passed(await policy.begin("a@example.com", "203.0.113.9"))
    assert (await policy.begin("a@example.com", "203.0.113.9")).failures == 1
    assert sorted(row[0] for row in store.rows.values()) == [
        1,
        5,
    ]  # the address had 4 failures, and has one attempt more


async def test_refused_attempts_do_not_count_against_the_address() -> None:
    policy, store = lockout(FakeClock(), address_failures=8)
    for _ in range(5):
        await policy.begin("a@example.com", "203.0.113.9")
    for _ in range(20):
        with pytest.raises(AccountLocked):
            await policy.begin("a@example.com", "203.0.113.9")
    assert (await policy.begin("b@example.com", "203.0.113.9")).failures == 1
    assert max(row[0] for row in store.rows.values()) == 6


async def test_keys_are_hashes() -> None:
    policy, store = lockout(FakeClock())
    await policy.begin("a@example.com", "203.0.113.9")
    assert all(len(key) == 32 for key in store.rows)
    other = Lockout(store, FakeClock(), b"other" * 7, IdentitySettings())
    assert other.account_key("a@example.com") not in store.rows


@pytest.mark.parametrize(
    ("address", "subscriber"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("testclient", "testclient"),
    ],
)
def test_one_subscriber_is_one_address(address: str, subscriber: str) -> None:
    assert network(address) == subscriber
