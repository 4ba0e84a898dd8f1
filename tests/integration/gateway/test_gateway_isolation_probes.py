"""The short form of point 2 of `make prove-tenancy`: attempts of one tenant on another, in the real application."""

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.prove.tenancy_asgi import Direct, Reply, application, settings_for
from tests.prove.tenancy_document import operations
from tests.prove.tenancy_findings import leaked, look
from tests.prove.tenancy_probes import probe_tenants
from tests.prove.tenancy_slots import Probe, Request
from tests.prove.tenancy_things import Party, Tenant, unknown_parameters
from voicehelper.ids import new_id
from voicehelper.stores.postgres.pool import Pool

PROBES = 300


async def test_nothing_of_another_tenant_can_be_seen_or_touched(
    pool: Pool, postgres_dsn: str, redis_url: str, tmp_path: Path
) -> None:
    seed = random.randrange(10**6)
    async with application(settings_for(tmp_path, postgres_dsn, redis_url)) as app:
        direct = Direct(app)
        document = (await direct.call("GET", "/openapi.json")).json()
        findings, _ = await probe_tenants(direct, pool, document, PROBES, seed)
    print(f"{findings.probes} probes of {len(findings.covered)} routes, seed {seed}: {dict(findings.statuses)}")
    assert findings.probes == PROBES
    assert not findings.count, f"seed {seed}: {findings.lines()}"


def test_a_leak_and_a_tell_tale_difference_are_seen() -> None:
    mine, theirs, unknown = str(new_id()), str(new_id()), str(new_id())
    victim = Tenant("victim", "zq0123456789abcdef", every_id=frozenset({theirs}))
    request = Request("GET", f"/things/{mine}", {}, {}, None)
    probe = Probe("GET /things/{id}", Party("member"), victim, request, None, (), ())
    assert leaked(probe, Reply(200, {}, f'{{"owner":"{theirs}"}}'.encode())) == theirs
    assert leaked(probe, Reply(404, {"x-hint": victim.secret}, b"{}"))
    assert not leaked(probe, Reply(200, {}, f'{{"owner":"{mine}"}}'.encode()))
    gone = Reply(404, {}, f'{{"details":{{"id":"{theirs}"}},"trace_id":"ab12"}}'.encode())
    control = Reply(404, {}, f'{{"details":{{"id":"{unknown}"}},"trace_id":"cd34"}}'.encode())
    assert look(gone, (theirs,)) == look(control, (unknown,))
    assert look(replace(gone, status=403), (theirs,)) != look(control, (unknown,))


def test_a_route_whose_parameter_nobody_knows_is_found() -> None:
    path = "/api/v1/things/{thing_id}"
    operation = {"parameters": [{"in": "path", "name": "thing_id", "schema": {}}], "responses": {}}
    document = {"paths": {path: {"get": operation}}, "components": {"schemas": {}}}
    assert unknown_parameters(operations(document)) == [f"GET {path}: thing_id"]


@pytest.mark.parametrize("call", ["GET events", "POST stop", "POST regenerate"])
async def test_an_answer_is_found_in_its_own_conversation_only(harness: Any, call: str) -> None:
    one, other = await harness.conversation(), await harness.conversation()
    for conversation in (one, other):
        turn = await harness.http.post(f"/api/v1/conversations/{conversation}/messages", json={"content": "退款？"})
        assert turn.status_code == 200, turn.text
    answer = turn.json()["answer"]["id"]
    method, what = call.split()
    found = await harness.http.request(method, f"/api/v1/conversations/{other}/messages/{answer}/{what}")
    stray = await harness.http.request(method, f"/api/v1/conversations/{one}/messages/{answer}/{what}")
    assert (found.status_code, stray.status_code) == (200, 404)
