"""Accounts tidy up after themselves, also when the database was away."""

import asyncio
from types import SimpleNamespace
from typing import Any

from structlog.testing import capture_logs

from voicehelper.errors import Unavailable
from voicehelper.identity.accounts import Accounts
from voicehelper.ports.clock import FakeClock


async def test_tidying_goes_on_after_an_outage() -> None:
    clock, done = FakeClock(), asyncio.Event()
    rounds: list[float] = []

    class FakePart:
        async def prune(self) -> None:
            rounds.append(clock.now())
            if len(rounds) == 1:
                raise Unavailable
            if len(rounds) > 4:
                done.set()

    part: Any = FakePart()
    rest: Any = SimpleNamespace()
    names = ("logins", "users", "roles", "tenants", "api_keys", "visitors", "audit")
    accounts = Accounts(sessions=part, lockout=part, **dict.fromkeys(names, rest))
    with capture_logs():
        tidying = asyncio.create_task(accounts.keep_tidy(clock))
        await asyncio.wait_for(done.wait(), 5)
        tidying.cancel()
        await asyncio.gather(tidying, return_exceptions=True)
    assert rounds[1] - rounds[0] == 3600
