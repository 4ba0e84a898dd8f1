"""`Counters` in Redis (Valkey); `budget_script` says what lies where."""

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any, cast
from uuid import UUID

from redis.asyncio import Redis

from voicehelper.ids import new_id
from voicehelper.models.budgets import month_of, months_before, subjects_of
from voicehelper.models.counters import Admitted, Holding, NotOpen, Refused, Snapshot, Used
from voicehelper.models.ledger import LedgerEntry, Notice, Streamed, decode, encode
from voicehelper.models.model import Caller, Reservation
from voicehelper.stores.budget_script import SCRIPT
from voicehelper.stores.redis import RedisLink, tenant_key
from voicehelper.stores.redis_wire import ScriptRunner

_FRONT_S, _BACK_S = 1.0, 3.0
_CHUNK = 500
_ANNOUNCED = "vh:{budgets}:announced"
_QUIET = "if redis.call('ZSCORE', KEYS[1], ARGV[1]) == ARGV[2] then redis.call('ZREM', KEYS[1], ARGV[1]) end"


class RedisCounters:
    """`Counters`.

    Args:
        url: of the server, for the script: calls that wait have a connection of their own, before those that do not.
        link: for everything else.
        now_ms: replaces the server's clock, in tests.
    """

    def __init__(self, url: str, link: RedisLink, now_ms: int | None = None) -> None:
        self._front = ScriptRunner(url, SCRIPT, _FRONT_S)
        self._back = ScriptRunner(url, SCRIPT, _BACK_S)
        self._link = link
        self.now_ms = now_ms

    async def reserve(self, wanted: Reservation, limits: Holding, life_s: float) -> Admitted | Refused:
        """See `Counters`."""
        caller, month = wanted.caller, month_of(round(wanted.at * 1_000_000))
        subjects = chain.from_iterable(
            (name, _number(limit.hard), _number(limit.soft), _number(limit.tokens))
            for name, limit in zip(subjects_of(caller), limits, strict=True)
        )
        arguments = (wanted.id.hex, wanted.micros, wanted.tokens, round(life_s * 1000), *subjects)
        answer = await self._run(self._front, "reserve", caller.tenant_id, month, *arguments)
        if answer[0] == 1:
            return Admitted(soft=answer[1] > 0)
        if answer[0] == 0:
            return Refused(answer[1] - 1, answer[2], answer[3])
        return Refused(answer[1] - 1, wait_s=answer[2] / 1000)

    async def settle(self, entry: LedgerEntry, limits: Holding) -> bool:
        """See `Counters`."""
        subjects = chain.from_iterable(
            (name, _number(limit.hard), _number(limit.soft))
            for name, limit in zip(subjects_of(entry.caller), limits, strict=True)
        )
        arguments = (entry.id.hex, entry.cost_micros, entry.tokens, encode(entry), *subjects)
        answer = await self._run(self._back, "settle", entry.tenant_id, entry.month, *arguments)
        return bool(answer[0])

    async def release(self, tenant_id: UUID, id_: UUID) -> None:
        """See `Counters`."""
        await self._run(self._front, "release", tenant_id, "", id_.hex)

    async def left(self, caller: Caller, month: str) -> tuple[Used, Used, Used]:
        """See `Counters`."""
        answer = await self._run(self._front, "left", caller.tenant_id, month, *subjects_of(caller))
        return Used(*answer[1:4]), Used(*answer[4:7]), Used(*answer[7:10])

    async def announce(self, tenant_ids: Sequence[UUID]) -> None:
        """See `Counters`."""

        async def count(client: Redis) -> None:
            async with client.pipeline(transaction=False) as pipe:
                for tenant_id in tenant_ids:
                    pipe.zincrby(_ANNOUNCED, 1, str(tenant_id))
                await pipe.execute()

        await self._link.call(count)

    async def announced(self) -> Mapping[UUID, float]:
        """See `Counters`."""
        found = await self._link.call(lambda client: client.zrange(_ANNOUNCED, 0, -1, withscores=True))
        return {UUID(tenant.decode()): score for tenant, score in cast(list[tuple[bytes, float]], found)}

    async def quiet(self, tenant_id: UUID, number: float) -> None:
        """See `Counters`."""
        arguments = (str(tenant_id), f"{number:.17g}")
        await self._link.call(lambda client: cast(Any, client.eval(_QUIET, 1, _ANNOUNCED, *arguments)))

    async def server(self) -> str:
        """See `Counters`."""
        found: Any = await self._link.call(lambda client: client.info("server"))
        return str(found["run_id"])

    async def streamed(self, tenant_id: UUID, limit: int) -> Sequence[Streamed]:
        """See `Counters`."""
        key = tenant_key(tenant_id, "budget", "stream")
        found: Any = await self._link.call(lambda client: client.xrange(key, count=limit), _BACK_S)
        return [_streamed(tenant_id, place, fields) for place, fields in found]

    async def forget(self, tenant_id: UUID, places: Sequence[bytes]) -> None:
        """See `Counters`."""
        key = tenant_key(tenant_id, "budget", "stream")
        if places:
            await self._link.call(lambda client: client.xdel(key, *places), _BACK_S)

    async def open(self, tenant_id: UUID, month: str, sums: Mapping[str, int]) -> bool:
        """See `Counters`."""
        staged = tenant_key(tenant_id, "budget", "staged", new_id())
        rows = [("@", 1), *sums.items()]

        async def stage(client: Redis) -> None:
            async with client.pipeline(transaction=False) as pipe:
                for start in range(0, len(rows), _CHUNK):
                    pipe.hset(staged, mapping=dict(rows[start : start + _CHUNK]))
                pipe.expire(staged, 600)
                await pipe.execute()

        await self._link.call(stage, 30.0)
        old = months_before(month, 3)
        return bool((await self._run(self._back, "open", tenant_id, month, staged, old))[0])

    async def snapshot(self, tenant_id: UUID, months: Sequence[str]) -> Snapshot:
        """See `Counters`."""
        prefix = tenant_key(tenant_id, "budget")

        async def read(client: Redis) -> list[Any]:
            async with client.pipeline(transaction=True) as pipe:
                pipe.xrange(f"{prefix}:stream")
                pipe.hgetall(f"{prefix}:reserved")
                pipe.hvals(f"{prefix}:calls")
                for month in months:
                    pipe.hgetall(f"{prefix}:m:{month}")
                return await pipe.execute()

        stream, reserved, calls, *hashes = await self._link.call(read, 30.0)
        return Snapshot(
            streamed=[_streamed(tenant_id, place, fields) for place, fields in stream],
            months={month: _counted(found) for month, found in zip(months, hashes, strict=True)},
            reserved={name.decode(): int(value) for name, value in reserved.items()},
            held=_held(calls),
        )

    async def adjust(self, tenant_id: UUID, month: str | None, by: Mapping[str, int]) -> None:
        """See `Counters`."""
        key = tenant_key(tenant_id, "budget", *(("reserved",) if month is None else ("m", month)))

        async def change(client: Redis) -> None:
            async with client.pipeline(transaction=True) as pipe:
                for subject, amount in by.items():
                    pipe.hincrby(key, subject, amount)
                await pipe.execute()

        await self._link.call(change, _BACK_S)

    async def close(self) -> None:
        """Hang up."""
        await self._front.close()
        await self._back.close()

    async def _run(self, runner: ScriptRunner, operation: str, tenant_id: UUID, month: str, *rest: object) -> list[int]:
        prefix = tenant_key(tenant_id, "budget") + ":"
        now = "" if self.now_ms is None else self.now_ms
        answer = await runner.run([prefix + "calls"], [operation, now, prefix, month, *rest])
        if answer[0] == -1:
            raise NotOpen
        return cast(list[int], answer)


def _number(limit: int | None) -> str:
    return "" if limit is None else str(limit)


def _streamed(tenant_id: UUID, place: bytes, fields: Mapping[bytes, bytes]) -> Streamed:
    if b"e" in fields:
        return Streamed(place, entry=decode(fields[b"e"]))
    month, subject, level, limit, spent = fields[b"n"].decode().split("|")
    return Streamed(place, notice=Notice(tenant_id, month, subject, level, int(limit), int(spent)))


def _counted(found: Mapping[bytes, bytes]) -> Mapping[str, int] | None:
    if b"@" not in found:
        return None
    return {name.decode(): int(value) for name, value in found.items() if name[:1] not in b"@!"}


def _held(calls: Sequence[bytes]) -> Mapping[str, int]:
    held: dict[str, int] = {}
    for record in calls:
        month, amount, _tokens, _slice, *subjects = record.decode().split("|")
        for subject in subjects:
            if int(amount):
                held[f"{month}|{subject}"] = held.get(f"{month}|{subject}", 0) + int(amount)
    return held
