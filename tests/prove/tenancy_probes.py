"""Random attempts of one tenant's people on another tenant's data, made from the OpenAPI document.

Each probe puts something of the victim's where the document has room for it, and is judged against its control: the
same request with an id that nobody has. A stolen id must look exactly like one that does not exist, no byte of the
victim's may be in any response, and at the end the victim's rows must be what they were.
"""

import asyncio
import base64
import json
import random
import re
import secrets
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID, uuid4

import jwt

from tests.prove.tenancy_asgi import Direct, Reply, Upload
from tests.prove.tenancy_document import Operation
from tests.prove.tenancy_world import LURE, OWN, SOURCES, UUID_TEXT, Party, Tenant, World
from voicehelper.ids import new_id

PARTIES = ("owner", "member", "visitor", "key", "anonymous", "forged")
ENDED = {40101, 40103, 40104}
CURSORS = {"cursor", "before", "after"}
SLOW = ("password", "/users", "/auth/", "/tenants")  # argon2 works there
_TIMES = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+(?:Z|\+00:00)")
_NUMBERED = re.compile(r"zq[0-9a-f]{16}[ .-]\d+")
_FLOATS = re.compile(r"\d+\.\d+(?:e-?\d+)?")
_VOLATILE = ("ratelimit", "date", "traceparent", "x-request-id", "content-length", "set-cookie", "retry-after")


@dataclass(frozen=True)
class Slot:
    """Where something stolen can go: `place` is path, query, body or header."""

    place: str
    name: str
    kind: str


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: object


@dataclass(frozen=True)
class Probe:
    """One attempt. `stolen` are the values of the victim's in it, `invented` those of the control's."""

    operation: str
    party: Party
    victim: Tenant
    request: Request
    control: Request | None
    stolen: tuple[str, ...]
    invented: tuple[str, ...]
    neighbour: bool = False

    def __str__(self) -> str:
        who = "neighbour " if self.neighbour else ""
        return f"{who}{self.party.kind}: {self.operation} {self.request.path} {self.request.query or ''}"[:200]


@dataclass
class Findings:
    """What was found wrong, by kind of probe, and how much was tried."""

    probes: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    covered: set[str] = field(default_factory=set)
    wrong: dict[str, str] = field(default_factory=dict)
    count: int = 0

    def add(self, probe: object, what: str) -> None:
        self.count += 1
        self.wrong.setdefault(f"{str(probe).split('?')[0]}"[:90] + what[:40], f"{probe}: {what}")

    def lines(self, most: int = 12) -> str:
        return " | ".join(list(self.wrong.values())[:most])


def slots_of(operation: Operation) -> list[Slot]:
    """Every place of the operation that can hold an id or a cursor of somebody else's."""
    found = [Slot("path", name, World.kind_of(operation, name)) for name in operation.path_names]
    for name, schema in operation.query:
        if name in SOURCES or schema.get("format") == "uuid":
            found.append(Slot("query", name, SOURCES.get(name, "any")))
        elif name in CURSORS and "integer" not in json.dumps(schema):
            found.append(Slot("query", name, "cursor"))
    for name, schema in operation.fields():
        if name in SOURCES or "uuid" in json.dumps(schema):
            found.append(Slot("body", name, SOURCES.get(name, "any")))
    return found


class Prober:
    """Makes and sends probes; `seed` decides everything."""

    def __init__(self, direct: Direct, world: World, attackers: list[Tenant], victim: Tenant, seed: int) -> None:
        self._direct, self._world, self._attackers, self._victim = direct, world, attackers, victim
        self._random = random.Random(seed)
        self.findings = Findings()
        self._sockets = sockets_of(direct.app)

    async def run(self, count: int) -> Findings:
        """`count` probes: first every route, party and slot once, as far as that goes, then at random."""
        known = [
            row[0] for row in await self._world.pool.fetch("SELECT id::text FROM audit_logs ORDER BY id DESC LIMIT 1")
        ]
        until = (known or [str(new_id())])[0]
        before = await self._world.fingerprint(self._victim, until)
        for number, probe in enumerate(self._probes()):
            if number >= count:
                break
            await self._judge(probe)
        after = await self._world.fingerprint(self._victim, until)
        for table in before:
            if before[table] != after[table]:
                self.findings.add(f"rows of {table}", f"changed from {before[table]} to {after[table]}")
        await self._still_in()
        return self.findings

    async def _still_in(self) -> None:
        """The victim's people are still logged in."""
        for party in self._victim.parties.values():
            path = f"/api/v1/conversations/{party.ids['conversation'][0]}"
            reply = await self._direct.call("GET", path, party.token)
            if reply.status != 200:
                self.findings.add(f"the victim's {party.kind}", f"is no longer let in: {reply.status}")

    def _probes(self) -> Iterator[Probe]:
        plan = [
            (operation, kind, slots)
            for operation in self._world.operations
            for kind in PARTIES
            for slots in [[slot] for slot in slots_of(operation)] or [[]]
        ]
        self._random.shuffle(plan)
        for operation, kind, slots in plan:
            yield self._probe(operation, kind, slots)
        weights = [_weight(operation) for operation in self._world.operations]
        while True:
            operation = self._random.choices(self._world.operations, weights)[0]
            slots = slots_of(operation)
            wanted = self._random.sample(slots, self._random.randint(1, len(slots))) if slots else []
            if self._sockets and self._random.random() < 0.02:
                yield self._socket_probe()
            else:
                yield self._probe(operation, self._random.choice(PARTIES), wanted)

    def _probe(self, operation: Operation, kind: str, wanted: list[Slot]) -> Probe:
        attacker, rng = self._random.choice(self._attackers), self._random
        party = self._party(attacker, kind)
        source = self._victim
        neighbour = kind in {"member", "visitor"} and any(s.kind in OWN for s in wanted) and rng.random() < 0.2
        if neighbour:
            source = attacker
            wanted = [slot for slot in wanted if slot.kind in OWN]
        stolen, invented = {}, {}
        for slot in wanted:
            stolen[slot], invented[slot] = self._pair(operation, slot, source, neighbour)
        base = self._base(operation, party, attacker, set(wanted))
        comparable = all(slot.kind != "cursor" for slot in wanted) and bool(wanted)
        return Probe(
            str(operation),
            party,
            source,
            self._filled(operation, base, stolen, attacker),
            self._filled(operation, base, invented, attacker) if comparable else None,
            tuple(stolen.values()),
            tuple(invented.values()),
            neighbour,
        )

    def _party(self, attacker: Tenant, kind: str) -> Party:
        if kind == "anonymous":
            return Party("anonymous", ids=attacker.parties["member"].ids)
        if kind == "forged":
            return Party("forged", self._forged(attacker), ids=attacker.parties["owner"].ids)
        return attacker.parties[kind]

    def _forged(self, attacker: Tenant) -> str:
        """A credential that must not be good for anything."""
        mine, theirs = attacker.parties["owner"], self._victim.parties["owner"]
        claims = jwt.decode(theirs.token, options={"verify_signature": False})
        head, _, signature = mine.token.split(".")
        swapped = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
        stolen_key = self._victim.parties["key"].token.split("_")
        own_key = attacker.parties["key"].token.split("_")
        return self._random.choice(
            [
                theirs.refresh or "vhr_x_y",
                mine.refresh or "vhr_x_y",
                f"{head}.{swapped}.{signature}",
                jwt.encode(claims, "", algorithm="none", headers={"kid": jwt.get_unverified_header(mine.token)["kid"]}),
                jwt.encode(claims, secrets.token_hex(32), algorithm="HS256"),
                "_".join([stolen_key[0], stolen_key[1], *own_key[2:]]),
                f"vhk_{uuid4().hex}_{secrets.token_urlsafe(32)}",
                f"vhk_{UUID(theirs.user_id).hex}_{secrets.token_urlsafe(32)}",
            ]
        )

    def _pair(self, operation: Operation, slot: Slot, source: Tenant, neighbour: bool) -> tuple[str, str]:
        """A value of the victim's, and an invented one of the same look."""
        rng = self._random
        if slot.kind == "cursor":
            return rng.choice([*source.cursors.values(), "x"]), ""
        known = source.parties["owner"].ids[slot.kind] if neighbour else source.of(slot.kind)
        value = rng.choice(known or [str(new_id())])
        if not UUID_TEXT.fullmatch(value):
            return value, f"zq{rng.getrandbits(64):016x}-{rng.randint(1, 999)}"
        invented = str(new_id())
        match rng.random():
            case x if x < 0.10:  # a guess: the neighbours of an id that exists
                return str(UUID(int=UUID(value).int + rng.choice([-2, -1, 1, 2]))), invented
            case x if x < 0.14:
                return value.upper(), invented.upper()
            case x if x < 0.17:
                return value.replace("-", ""), invented.replace("-", "")
            case x if x < 0.19:
                return f"urn:uuid:{value}", f"urn:uuid:{invented}"
            case x if x < 0.21:
                return f"{{{value}}}", f"{{{invented}}}"
            case _:
                return value, invented

    def _base(self, operation: Operation, party: Party, attacker: Tenant, wanted: set[Slot]) -> Request:
        """What both requests have in common."""
        rng = self._random
        query = {name: v for name, schema in operation.query if (v := self._query_value(name, schema)) is not None}
        headers = {}
        if operation.writes and rng.random() < 0.2:
            headers["idempotency-key"] = self._victim.idempotency_key
        if operation.path.endswith("/events") or rng.random() < 0.1:
            headers["last-event-id"] = str(rng.randint(0, 3))
        if self._victim.etags and rng.random() < 0.2:
            headers["if-none-match"] = rng.choice(list(self._victim.etags.values()))
        if rng.random() < 0.1:
            headers |= {"x-tenant-id": self._victim.id, "tenant-id": self._victim.id}
        if rng.random() < 0.1:
            headers["accept"] = "text/event-stream"
        return Request(operation.method, operation.path, query, headers, rng.random() < 0.5)

    def _query_value(self, name: str, schema: dict[str, Any]) -> str | None:
        if self._random.random() < 0.5 or name in SOURCES or name in CURSORS:
            return None
        if name in {"q", "query"}:
            return self._random.choice([LURE, "退款", "zq", "%", "_"])
        if name == "limit":
            return str(self._random.choice([1, 50, 200]))
        values = schema.get("enum") or [v for c in schema.get("anyOf", ()) for v in c.get("enum", ())]
        return str(self._random.choice(values)) if values else None

    def _filled(self, operation: Operation, base: Request, given: dict[Slot, str], attacker: Tenant) -> Request:
        path, query = operation.path, dict(base.query)
        mine = attacker.parties["owner"].ids
        for name in operation.path_names:
            kind = World.kind_of(operation, name)
            own = self._stable(mine.get(kind) or [str(new_id())], path)
            path = path.replace(f"{{{name}}}", given.get(Slot("path", name, kind), own))
        query |= {slot.name: value for slot, value in given.items() if slot.place == "query"}
        return replace(base, path=path, query=query, body=self._body(operation, base, given, attacker))

    @staticmethod
    def _stable(known: list[str], salt: str) -> str:
        """The same for a probe and its control."""
        return known[len(salt) % len(known)]

    def _body(self, operation: Operation, base: Request, given: dict[Slot, str], attacker: Tenant) -> object:
        if operation.upload:
            return Upload(f"{attacker.secret}.md", f"# {attacker.secret}\n\n{LURE}。\n".encode())
        if operation.body is None:
            return None
        values = {slot.name: value for slot, value in given.items() if slot.place == "body"}
        marked = self._world.marked(attacker, {})

        def fill(name: str, schema: dict[str, Any]) -> object:
            if name in values:
                return [values[name]] if schema.get("type") == "array" else values[name]
            if name == "query" or name == "content":
                return LURE
            if name == "refresh_token":
                session = UUID(self._victim.ids["session"][0]).hex if self._victim.ids.get("session") else "0" * 32
                return f"vhr_{session}_{'A' * 43}"
            if "password" in name and any(word in name for word in ("current", "old")):
                return "Nicht-Das-9"
            if "email" in name and operation.path.endswith("/login"):
                return f"owner@{self._victim.secret}.example.com"
            if name == "password" and operation.path.endswith("/login"):
                return "Falsch-Und-8"
            if name == "role":
                return "member"
            return marked(name, schema)

        return operation.minimal_body(fill, optional=bool(base.body) and not operation.path.endswith("/messages"))

    def _socket_probe(self) -> Probe:
        path = self._random.choice(self._sockets)
        attacker = self._random.choice(self._attackers)
        party = self._party(attacker, self._random.choice(PARTIES))
        stolen, invented = self._random.choice(self._victim.of("conversation")), str(new_id())
        real, control = (Request("WEBSOCKET", re.sub(r"{\w+}", v, path), {}, {}, None) for v in (stolen, invented))
        return Probe(f"WEBSOCKET {path}", party, self._victim, real, control, (stolen,), (invented,))

    async def _judge(self, probe: Probe) -> None:
        self.findings.probes += 1
        self.findings.covered.add(probe.operation)
        reply = await self._send(probe, probe.request)
        self.findings.statuses[reply.status] += 1
        if reply.status in {0, 500, 502, 503, 504}:
            self.findings.add(probe, f"status {reply.status} {reply.body[:200]!r}")
        if not probe.neighbour and (leaked := self._leaked(probe, reply)):
            self.findings.add(probe, f"LEAK of {leaked}, status {reply.status}: {reply.body[:200]!r}")
        if probe.party.kind == "forged" and reply.status < 400 and not self._is_open(probe):
            self.findings.add(probe, f"let in with a forged credential {probe.party.token[:20]}: {reply.status}")
        if probe.control is not None:
            control = await self._send(probe, probe.control)
            seen, expected = _look(reply, probe.stolen), _look(control, probe.invented)
            if seen != expected:
                self.findings.add(probe, f"DIFFERS from an unknown id: {_difference(seen, expected)}")

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

    def _leaked(self, probe: Probe, reply: Reply) -> str:
        """What of the victim's is in the response that the request did not bring itself."""
        sent = " ".join([*probe.stolen, json.dumps(probe.request.headers), str(probe.request.body)]).lower()
        text = reply.body.decode("utf-8", "replace") + json.dumps(reply.headers)
        if probe.victim.secret in text and probe.victim.secret not in sent:
            return "the victim's secret"
        ids = {found for found in UUID_TEXT.findall(text.lower()) if found in probe.victim.every_id}
        return ", ".join(sorted(found for found in ids if found not in sent and found.replace("-", "") not in sent))


def sockets_of(app: Any) -> list[str]:
    """Paths of the WebSocket routes, which the OpenAPI document does not list."""
    found = []
    for route in getattr(app, "routes", ()):
        if type(route).__name__ in {"APIWebSocketRoute", "WebSocketRoute"}:
            found.append(route.path)
    return found


def _weight(operation: Operation) -> float:
    if slots_of(operation):
        return 1.0
    return 0.03 if operation.writes and any(part in operation.path for part in SLOW) else 0.25


def _look(reply: Reply, values: tuple[str, ...]) -> tuple[int, str, tuple[str, ...]]:
    """A response without what differs from one request to the next."""
    text = reply.body.decode("utf-8", "replace")
    for value in values:
        text = text.replace(value, "<id>")
    text = UUID_TEXT.sub("<id>", re.sub(r'"trace_id":"\w*"', "", text))
    if reply.status < 400:
        text = _FLOATS.sub("<n>", _NUMBERED.sub("<text>", _TIMES.sub("<time>", text)))
    headers = sorted(name for name in reply.headers if not name.startswith(_VOLATILE))
    return reply.status, text, tuple(headers)


def _difference(seen: tuple[int, str, tuple[str, ...]], expected: tuple[int, str, tuple[str, ...]]) -> str:
    if seen[0] != expected[0]:
        return f"{seen[0]} {seen[1][:160]} / {expected[0]} {expected[1][:160]}"
    if seen[2] != expected[2]:
        return f"headers {set(seen[2]) ^ set(expected[2])}"
    place = next((i for i, (a, b) in enumerate(zip(seen[1], expected[1], strict=False)) if a != b), 0)
    return (
        f"{seen[0]} ...{seen[1][max(0, place - 40) : place + 80]} / ...{expected[1][max(0, place - 40) : place + 80]}"
    )


async def probe_tenants(
    direct: Direct, pool: Any, document: dict[str, Any], count: int, seed: int
) -> tuple[Findings, World]:
    """Make two attackers and a victim, and probe. Adds what the world could not make to the findings."""
    world = World(direct, pool, document)
    if unknown := world.unknown_parameters():
        raise AssertionError(f"No source of ids for {unknown}: add it to SOURCES in {__package__}.tenancy_world")
    tenants = [await world.tenant(name) for name in ("first", "victim", "third")]
    await settle(pool)
    await world.note_ids(tenants[1])
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
