"""Random attempts of one tenant's people on another tenant's data, made from the OpenAPI document.

Each probe puts something of the victim's where the document has room for it, and is judged against its control: the
same request with an id that nobody has. A stolen id must look exactly like one that does not exist, no byte of the
victim's may be in any response, and at the end the victim's rows must be what they were.
"""

import asyncio
import random
import re
import time
from collections.abc import Iterator
from typing import Any

from tests.prove.tenancy_asgi import Direct, Reply
from tests.prove.tenancy_findings import Findings, difference, leaked, look
from tests.prove.tenancy_making import Maker
from tests.prove.tenancy_rows import Rows
from tests.prove.tenancy_slots import PARTIES, Probe, Request, slots_of, sockets, weight_of
from tests.prove.tenancy_things import Party, Tenant, unknown_parameters
from tests.prove.tenancy_world import World

ENDED = {40101, 40103, 40104}


class Prober:
    """Makes and sends probes; `seed` decides everything."""

    def __init__(self, direct: Direct, world: World, attackers: list[Tenant], victim: Tenant, seed: int) -> None:
        self._direct, self._world, self._victim = direct, world, victim
        self._random = random.Random(seed)
        self.findings = Findings()
        self._sockets = sockets()
        self._maker = Maker(world, attackers, victim, self._sockets, self._random)

    async def run(self, count: int) -> Findings:
        """`count` probes: first every route, party and slot once, as far as that goes, then at random."""
        rows = self._world.rows
        until = await rows.last_audit()
        before = await rows.fingerprint(self._victim, until)
        repeats = count // 50  # last: afterwards an attacker may have things of the same name
        probes = self._probes()
        for _ in range(count - repeats):
            await self._judge(next(probes))
        for _ in range(repeats):
            await self._judge(self._maker.repeated())
        after = await rows.fingerprint(self._victim, until)
        for table in before:
            if before[table] != after[table]:
                self.findings.add(f"rows of {table}", f"changed from {before[table]} to {after[table]}")
        await self._still_in()
        return self.findings

    async def _still_in(self) -> None:
        """The victim's people are still logged in, and can follow their conversations."""
        for party in self._victim.parties.values():
            path = f"/api/v1/conversations/{party.ids['conversation'][0]}"
            reply = await self._direct.call("GET", path, party.token)
            if reply.status != 200:
                self.findings.add(f"the victim's {party.kind}", f"is no longer let in: {reply.status}")
            for template in self._sockets:
                path = re.sub(r"{\w+}", party.ids["conversation"][0], template)
                code, _ = await self._direct.socket(path, party.token)
                if code:
                    self.findings.add(f"the victim's {party.kind}", f"cannot follow {path}: closed {code}")

    def _probes(self) -> Iterator[Probe]:
        plan = [
            (operation, kind, slots)
            for operation in self._world.operations
            for kind in PARTIES
            for slots in [[slot] for slot in slots_of(operation)] or [[]]
        ]
        self._random.shuffle(plan)
        for operation, kind, slots in plan:
            yield self._maker.probe(operation, kind, slots)
        weights = [weight_of(operation) for operation in self._world.operations]
        while True:
            match self._random.random():
                case x if x < 0.02 and self._sockets:
                    yield self._maker.socket()
                case _:
                    operation = self._random.choices(self._world.operations, weights)[0]
                    slots = slots_of(operation)
                    wanted = self._random.sample(slots, self._random.randint(1, len(slots))) if slots else []
                    kind = self._random.choices(list(PARTIES), list(PARTIES.values()))[0]
                    yield self._maker.probe(operation, kind, wanted)

    async def _judge(self, probe: Probe) -> None:
        self.findings.probes += 1
        self.findings.covered.add(probe.operation)
        reply = await self._send(probe, probe.request)
        self.findings.statuses[reply.status] += 1
        if reply.status in {0, 500, 502, 503, 504}:
            self.findings.add(probe, f"status {reply.status} {reply.body[:200]!r}")
        if not probe.neighbour and (seen := leaked(probe, reply)):
            self.findings.add(probe, f"LEAK of {seen}, status {reply.status}: {reply.body[:200]!r}")
        if probe.party.kind == "forged" and reply.status < 400 and not self._is_open(probe):
            self.findings.add(probe, f"let in with a forged credential {probe.party.token[:20]}: {reply.status}")
        if probe.control is not None:
            control = await self._send(probe, probe.control)
            one, other = look(reply, probe.stolen), look(control, probe.invented)
            if one != other:
                self.findings.add(probe, f"DIFFERS from an unknown id: {difference(one, other)}")

    def _is_open(self, probe: Probe) -> bool:
        return any(str(operation) == probe.operation and operation.open for operation in self._world.operations)

    async def _send(self, probe: Probe, request: Request) -> Reply:
        if request.method == "WEBSOCKET":
            code, frames = await self._direct.socket(request.path, probe.party.token)
            return Reply(code or 101, {}, frames)
        reply = await self._once(probe.party, request)
        if reply.code in ENDED and probe.party.renew is not None:
            await probe.party.renew()
            reply = await self._once(probe.party, request)
        return reply

    async def _once(self, party: Party, request: Request) -> Reply:
        return await self._direct.call(
            request.method, request.path, party.token, query=request.query, headers=request.headers, body=request.body
        )


async def probe_tenants(
    direct: Direct, pool: Any, document: dict[str, Any], count: int, seed: int
) -> tuple[Findings, World]:
    """Make two attackers and a victim, and probe. Adds what the world could not make to the findings."""
    world = World(direct, Rows(pool), document)
    if unknown := unknown_parameters(world.operations):
        raise AssertionError(f"No source of ids for {unknown}: add it to SOURCES in tests/prove/tenancy_things.py")
    tenants = [await world.tenant(name) for name in ("first", "victim", "third")]
    await settle(pool)
    await world.rows.note_ids(tenants[1])
    prober = Prober(direct, world, [tenants[0], tenants[2]], tenants[1], seed)
    findings = await prober.run(count)
    for route in sorted(set(world.missing)):
        findings.add(route, "not in the document, but the world needs it")
    return findings, world


async def settle(pool: Any, seconds: float = 15.0) -> None:
    """Wait until what happens in the background after a write has happened."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        left = await pool.fetchval("SELECT count(*) FROM outbox WHERE published_at IS NULL")
        if not left:
            break
        await asyncio.sleep(0.1)
    await asyncio.sleep(1.0)
