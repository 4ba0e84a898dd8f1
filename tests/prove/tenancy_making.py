"""Makes the probes: a request with something of the victim's in it, and its control with an id that nobody has."""

import base64
import json
import random
import re
import secrets
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import jwt

from tests.prove.tenancy_asgi import Upload
from tests.prove.tenancy_document import Operation
from tests.prove.tenancy_slots import CURSORS, PARTIES, Probe, Request, Slot
from tests.prove.tenancy_things import LURE, OWN, SOURCES, UUID_TEXT, Party, Tenant, kind_of
from tests.prove.tenancy_world import World
from voicehelper.ids import new_id


class Maker:
    """Makes probes of `attackers` on `victim`; `rng` decides everything."""

    def __init__(
        self, world: World, attackers: list[Tenant], victim: Tenant, sockets: list[str], rng: random.Random
    ) -> None:
        self._world, self._attackers, self._victim = world, attackers, victim
        self._sockets, self._random = sockets, rng
        self._nobody = str(new_id())

    def probe(self, operation: Operation, kind: str, wanted: list[Slot]) -> Probe:
        attacker, rng = self._random.choice(self._attackers), self._random
        party = self._party(attacker, kind)
        source = self._victim
        neighbour = kind in {"member", "visitor"} and any(s.kind in OWN for s in wanted) and rng.random() < 0.2
        if neighbour:
            source = attacker
            wanted = [slot for slot in wanted if slot.kind in OWN]
        stolen, invented = {}, {}
        for slot in wanted:
            stolen[slot], invented[slot] = self._pair(slot, source, neighbour)
        base = self._base(operation)
        comparable = all(slot.kind != "cursor" for slot in wanted) and bool(wanted)
        return Probe(
            str(operation),
            party,
            source,
            self._filled(operation, base, stolen, party, attacker),
            self._filled(operation, base, invented, party, attacker) if comparable else None,
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

    def _pair(self, slot: Slot, source: Tenant, neighbour: bool) -> tuple[str, str]:
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

    def _base(self, operation: Operation) -> Request:
        """What both requests have in common."""
        rng = self._random
        query = {name: v for name, schema in operation.query if (v := self._query_value(name, schema)) is not None}
        headers = {}
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

    def _filled(
        self, operation: Operation, base: Request, given: dict[Slot, str], party: Party, attacker: Tenant
    ) -> Request:
        path, query = operation.path, dict(base.query)
        for name in operation.path_names:
            kind = kind_of(operation, name)
            own = self._stable(party.ids.get(kind) or [self._nobody], operation.path)
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

    def repeated(self) -> Probe:
        """A write of the victim's, word for word, with its Idempotency-Key."""
        method, path, body, key = self._random.choice(self._victim.keyed)
        party = self._party(self._random.choice(self._attackers), self._random.choice(list(PARTIES)))
        request = Request(method, path, {}, {"idempotency-key": key}, body)
        return Probe(f"{method} repeated", party, self._victim, request, None, (key,), ())

    def socket(self) -> Probe:
        path = self._random.choice(self._sockets)
        attacker = self._random.choice(self._attackers)
        party = self._party(attacker, self._random.choice(list(PARTIES)))
        stolen, invented = self._random.choice(self._victim.of("conversation")), str(new_id())
        real, control = (Request("WEBSOCKET", re.sub(r"{\w+}", v, path), {}, {}, None) for v in (stolen, invented))
        return Probe(f"WEBSOCKET {path}", party, self._victim, real, control, (stolen,), (invented,))
