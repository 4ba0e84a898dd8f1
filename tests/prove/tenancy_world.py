"""Tenants with data of every kind, made over HTTP as their people would, every text in them marked.

`secret` is in every text of a tenant and never sent by anybody else: seen in another tenant's response, it leaked.
"""

import asyncio
import json
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.prove.tenancy_asgi import ADMIN, PASSWORD, Direct, Reply, Upload
from tests.prove.tenancy_document import LEAVE, Operation, operations
from tests.prove.tenancy_rows import Rows
from tests.prove.tenancy_things import API, LURE, Party, Tenant, kind_of
from voicehelper.identity.permissions import BUILT_IN
from voicehelper.ids import new_id


@dataclass
class World:
    """Makes tenants through the application."""

    direct: Direct
    rows: Rows
    document: dict[str, Any]
    missing: list[str] = field(default_factory=list)
    _count: int = 0

    def __post_init__(self) -> None:
        self.operations = operations(self.document)
        self._by_name = {(op.method, op.path): op for op in self.operations}

    async def tenant(self, name: str) -> Tenant:
        """A tenant with an owner, a member, a visitor and an API key, each with something of their own."""
        tenant = Tenant(name, f"zq{secrets.token_hex(8)}")
        owner = await self._owner(tenant)
        await self._people(tenant, owner)
        bases = await self._knowledge(tenant, owner)
        for party in list(tenant.parties.values()):
            await self._talk(tenant, party, bases)
        await self._letter(tenant)
        await self._warm(tenant)
        await self.rows.note_ids(tenant)
        return tenant

    async def create(self, tenant: Tenant, party: Party, method: str, path: str, /, **given: object) -> Any:
        """The body of the response to a write whose template `path` is filled and whose texts are all marked."""
        template, given_path = path, {}
        for name in re.findall(r"{(\w+)}", path):
            given_path[name] = str(given.pop(name))
            path = path.replace(f"{{{name}}}", given_path[name])
        operation = self._by_name.get((method, API + template))
        if operation is None:
            self.missing.append(f"{method} {API}{template}")
            return {}
        body = operation.minimal_body(self.marked(tenant, given), optional=False) if operation.body else None
        key = secrets.token_hex(12)
        tenant.keyed.append((method, API + path, body, key))
        headers = {"idempotency-key": key}
        reply = await self.direct.call(method, API + path, party.token, headers=headers, body=body)
        if reply.status == 401 and party.renew is not None:  # a probe of the party's own has ended its login
            await party.renew()
            reply = await self.direct.call(method, API + path, party.token, headers=headers, body=body)
        assert reply.status < 300, f"{method} {path} {body}: {reply.status} {reply.body.decode()[:500]}"
        return reply.json() if reply.body else {}

    def marked(self, tenant: Tenant, given: dict[str, object]) -> Callable[[str, dict[str, Any]], object]:
        """Fills fields: what is given, else a text with the tenant's secret in it."""

        def fill(name: str, schema: dict[str, Any]) -> object:
            self._count += 1
            if name in given:
                return given[name]
            if "password" in name:
                return PASSWORD
            if "email" in name:
                return f"{tenant.secret}.{self._count}@example.com"
            if name == "permissions":
                return sorted(BUILT_IN["owner"])
            if name in {"name", "title", "description", "comment", "content", "display_name"}:
                text = f"{tenant.secret}-{self._count}" if "pattern" in schema else f"{tenant.secret} {self._count}"
                return text[: schema.get("maxLength", 200)]
            return LEAVE

        return fill

    async def _owner(self, tenant: Tenant) -> Party:
        email = f"owner@{tenant.secret}.example.com"
        admin = (await self.login(ADMIN, PASSWORD)).json()["access_token"]
        operation = self._by_name[("POST", f"{API}/platform/tenants")]
        names = {name for name, _ in operation.fields() if "email" in name}
        body = operation.minimal_body(self.marked(tenant, dict.fromkeys(names, email)))
        reply = await self.direct.call("POST", f"{API}/platform/tenants", admin, body=body)
        assert reply.status == 201, reply.body.decode()
        tenant.id = str(await self.rows.pool.fetchval("SELECT tenant_id FROM users WHERE email = $1", email))
        return await self._person(tenant, "owner", email)

    async def login(self, email: str, password: str) -> Reply:
        """The response to a login."""
        return await self.direct.call("POST", f"{API}/auth/login", body={"email": email, "password": password})

    async def _person(self, tenant: Tenant, kind: str, email: str) -> Party:
        party = Party(kind)

        async def renew() -> None:
            reply = await self.login(email, PASSWORD)
            assert reply.status == 200, f"{kind}: {reply.body.decode()}"
            party.token, party.refresh = reply.json()["access_token"], reply.json().get("refresh_token", "")

        party.renew = renew
        await renew()
        party.user_id = str(await self.rows.pool.fetchval("SELECT id FROM users WHERE email = $1", email))
        tenant.parties[kind] = party
        return party

    async def _people(self, tenant: Tenant, owner: Party) -> None:
        email = f"member@{tenant.secret}.example.com"
        await self.create(tenant, owner, "POST", "/users", email=email, role="member")
        await self._person(tenant, "member", email)
        await self.create(tenant, owner, "POST", "/roles")
        await self.create(tenant, owner, "POST", "/models", owner="tenant", provider="openai", context_tokens=1000)
        await self.create(tenant, owner, "POST", "/budgets", kind="tenant", subject_id=None, hard_micros=10**12)
        await self._experiment(tenant, owner)
        await self._key(tenant, owner)
        await self._visitor(tenant, owner)

    async def _experiment(self, tenant: Tenant, owner: Party) -> None:
        arms = [{"name": "control", "weight": 1}, {"name": "other", "weight": 1}]
        await self.create(tenant, owner, "POST", "/experiments", target={"kind": "all"}, variants=arms)

    async def _key(self, tenant: Tenant, owner: Party) -> None:
        party = tenant.parties["key"] = Party("key", user_id=owner.user_id)

        async def renew() -> None:
            made = await self.create(tenant, owner, "POST", "/api-keys")
            party.token = re.findall(r"vhk_[\w-]+", json.dumps(made))[0]

        party.renew = renew
        await renew()

    async def _visitor(self, tenant: Tenant, owner: Party) -> None:
        party = tenant.parties["visitor"] = Party("visitor")

        async def renew() -> None:
            made = await self.create(tenant, owner, "POST", "/visitor-tokens")
            party.token = next(value for name, value in made.items() if name in {"token", "access_token"})
            party.conversation_id = made["conversation_id"]
            party.user_id = str(
                await self.rows.pool.fetchval("SELECT user_id FROM conversations WHERE id = $1", party.conversation_id)
            )

        party.renew = renew
        await renew()

    async def _knowledge(self, tenant: Tenant, owner: Party) -> list[str]:
        first = await self.create(tenant, owner, "POST", "/knowledge/bases")
        second = await self.create(tenant, owner, "POST", "/knowledge/bases")
        bases = [first["id"], second["id"]]
        for base in bases:
            await self._upload(tenant, owner, base, 0)
            await self._upload(tenant, owner, base, 1)
        async with asyncio.timeout(30):
            while await self.rows.pool.fetchval(  # noqa: ASYNC110 - another part of the application writes it
                "SELECT count(*) FROM document_versions WHERE tenant_id = $1 AND status IN ('pending', 'processing')",
                tenant.id,
            ):
                await asyncio.sleep(0.1)
        return bases

    async def _upload(self, tenant: Tenant, owner: Party, base: str, number: int) -> None:
        text = f"# {tenant.secret}\n\n{LURE}：{tenant.secret} 第 {number} 条，三到五个工作日内退回。\n"
        upload = Upload(f"{tenant.secret}-{number}.md", text.encode())
        reply = await self.direct.call("POST", f"{API}/knowledge/bases/{base}/documents", owner.token, body=upload)
        assert reply.status == 202, reply.body.decode()

    async def _talk(self, tenant: Tenant, party: Party, bases: list[str]) -> None:
        conversation = party.conversation_id
        if not conversation:
            made = await self.create(tenant, party, "POST", "/conversations", knowledge_bases=bases)
            conversation = made["id"]
        content = f"{LURE}？{tenant.secret}"
        messages = "/conversations/{conversation_id}/messages"
        turn = await self.create(tenant, party, "POST", messages, conversation_id=conversation, content=content)
        message = turn["answer"]["id"]
        await self.create(tenant, party, "POST", messages, conversation_id=conversation, content=f"{content} 二")
        if party.kind in {"owner", "member"}:
            where = {"conversation_id": conversation, "message_id": message}
            await self.create(tenant, party, "PUT", f"{messages}/{{message_id}}/feedback", **where)

    async def _letter(self, tenant: Tenant) -> None:
        await self.rows.pool.execute(
            "INSERT INTO dead_letters (id, tenant_id, consumer, event_id, type, version, key, payload, occurred_at,"
            " attempts, error) VALUES ($1, $2, 'prove', $3, 'conversation.message_sent', 1, $4,"
            " $5::text::jsonb, now(), 5, $6)",
            new_id(),
            tenant.id,
            new_id(),
            f"{tenant.id}:x",
            json.dumps({"note": tenant.secret}),
            f"failed: {tenant.secret}",
        )

    async def _warm(self, tenant: Tenant) -> None:
        """Its owner reads every list and thing, so that whatever caches has it; cursors and ETags are kept."""
        await self.rows.note_ids(tenant)
        owner = tenant.parties["owner"]
        for operation in self.operations:
            if operation.method != "GET" or operation.path.startswith(f"{API}/platform"):
                continue
            for round_ in range(2):
                path = self.path_of(operation, owner.ids, round_)
                query = {"limit": "1"} if any(name == "limit" for name, _ in operation.query) else {}
                reply = await self.direct.call("GET", path, owner.token, query=query)
                assert reply.status not in {0, 500, 503}, f"{operation}: {reply.status} {reply.body.decode()[:300]}"
                tenant.etags |= {path: reply.headers["etag"]} if "etag" in reply.headers else {}
                if query and reply.status == 200 and (cursor := reply.json().get("next_cursor")):
                    tenant.cursors[operation.path] = cursor

    async def replenish(self, tenant: Tenant) -> None:
        """New things for the owner, in place of deleted ones."""
        owner = tenant.parties["owner"]
        if (await self.direct.call("GET", f"{API}/me", owner.token)).status == 401 and owner.renew is not None:
            await owner.renew()
        await self.create(tenant, owner, "POST", "/roles")
        await self.create(tenant, owner, "POST", "/models", owner="tenant", provider="openai", context_tokens=1000)
        await self._experiment(tenant, owner)
        await self._letter(tenant)
        base = (await self.create(tenant, owner, "POST", "/knowledge/bases"))["id"]
        await self._upload(tenant, owner, base, 0)
        await self._talk(tenant, owner, [base])
        await self.rows.note_ids(tenant)

    def path_of(self, operation: Operation, ids: dict[str, list[str]], number: int = 0) -> str:
        """The operation's path with ids of these kinds in it."""
        path = operation.path
        for name in operation.path_names:
            known = ids.get(kind_of(operation, name)) or [str(new_id())]
            path = path.replace(f"{{{name}}}", known[number % len(known)])
        return path
