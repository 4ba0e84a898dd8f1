"""The catalogue over HTTP: what is stored, who may see and change it, and that keys stay where they are."""

import json
from typing import Any, cast
from uuid import uuid4

import httpx
import pytest

from tests.fakes.models import FakeBackends, FakeResolver
from tests.integration.gateway.conftest import BOX, Harness, harness, quiet, tokens
from voicehelper.errors import ModelUnavailable
from voicehelper.models.local import LOCAL_ID
from voicehelper.ports.chat import FakeChatModel

__all__ = ["harness", "quiet", "tokens"]

MODELS = "/api/v1/models"
SECRET = "sk-nobody-may-see-this"
QWEN: dict[str, Any] = {
    "name": "qwen-plus",
    "provider": "qwen",
    "api_key": SECRET,
    "capabilities": ["stream", "tools"],
    "context_tokens": 131072,
    "max_output_tokens": 8192,
    "price": {"prompt": 400_000, "completion": 1_200_000, "cached": 160_000},
    "limits": {"requests_per_minute": 600},
    "quality": 4,
    "speed": 4,
    "fallbacks": ["fake-chat"],
    "options": {"enable_thinking": False},
}


async def made(http: httpx.AsyncClient, **values: object) -> dict[str, Any]:
    response = await http.post(MODELS, json=QWEN | values)
    assert response.status_code == 201, response.text
    body: dict[str, Any] = response.json()
    return body


async def test_a_model_is_stored_as_given_without_its_key(harness: Harness) -> None:
    model = await made(harness.http)
    assert SECRET not in str(model) and model["has_key"] and model["warnings"] == []
    shown = (await harness.http.get(f"{MODELS}/{model['id']}")).json()
    for name in QWEN.keys() - {"api_key", "price", "limits"}:
        assert shown[name] == QWEN[name]
    assert shown["price"] == QWEN["price"] | {"per_call": 0}
    assert shown["limits"] == {"requests_per_minute": 600, "tokens_per_minute": 0, "parallel": 0}
    assert (shown["owner"], shown["version"], shown["enabled"]) == ("tenant", 1, True)
    sealed = await harness.pool.fetchval("SELECT api_key FROM models")
    assert SECRET.encode() not in sealed
    row = await harness.pool.fetchrow("SELECT id, api_key FROM models")
    assert row is not None and BOX.open(row["api_key"], row["id"].bytes).decode() == SECRET


async def test_the_list_has_pages_and_ends_with_the_instances_own(harness: Harness) -> None:
    names = [(await made(harness.http, name=f"m{i}"))["name"] for i in range(3)]
    found, cursor = [], ""
    while cursor is not None:
        query = {"limit": "2", **({"cursor": cursor} if cursor else {})}
        page = (await harness.http.get(MODELS, params=query)).json()
        found += page["items"]
        cursor = page["next_cursor"]
    assert [item["name"] for item in found] == [*reversed(names), "fake-chat"]
    assert found[-1]["id"] == str(LOCAL_ID) and found[-1]["owner"] == "instance"
    assert (await harness.http.get(f"{MODELS}/{LOCAL_ID}")).json()["price"]["prompt"] == 0
    embedders = await harness.http.get(MODELS, params={"kind": "embedding"})
    assert embedders.json() == {"items": [], "next_cursor": None}


async def test_a_change_needs_the_present_version(harness: Harness) -> None:
    model = await made(harness.http)
    path = f"{MODELS}/{model['id']}"
    first = await harness.http.patch(path, json={"version": 1, "price": {"prompt": 1}, "enabled": False})
    assert first.status_code == 200, first.text
    assert first.json()["version"] == 2
    assert first.json()["price"] == {"prompt": 1, "completion": 0, "cached": None, "per_call": 0}
    assert first.json()["capabilities"] == ["stream", "tools"]
    late = await harness.http.patch(path, json={"version": 1, "quality": 5})
    assert (late.status_code, late.json()["code"], late.json()["details"]["version"]) == (409, 40903, 2)
    await harness.http.delete(path)
    assert (await harness.http.get(path)).status_code == 404
    assert (await harness.http.delete(path)).status_code == 404


async def test_a_name_is_taken_once_per_owner(harness: Harness) -> None:
    await made(harness.http)
    assert (await harness.http.post(MODELS, json=QWEN)).status_code == 409
    platform = await made(harness.http, owner="platform")
    assert platform["owner"] == "platform"
    assert (await harness.http.post(MODELS, json=QWEN | {"owner": "platform"})).status_code == 409
    assert (await harness.http.post(MODELS, json=QWEN | {"name": "fake-chat"})).status_code == 409
    other = await made(harness.http, name="other")
    renamed = await harness.http.patch(f"{MODELS}/{other['id']}", json={"version": 1, "name": "qwen-plus"})
    assert renamed.status_code == 409


async def test_a_key_can_be_replaced_and_removed_but_not_sent_elsewhere(harness: Harness) -> None:
    model = await made(harness.http)
    path = f"{MODELS}/{model['id']}"
    moved = await harness.http.patch(path, json={"version": 1, "base_url": "https://mine.example.com/v1"})
    assert (moved.status_code, moved.json()["details"]["field"]) == (400, "api_key")
    body = {"version": 1, "base_url": "https://mine.example.com/v1", "api_key": "sk-another"}
    assert (await harness.http.patch(path, json=body)).status_code == 200
    assert harness.services.models is not None
    resolver = cast(FakeResolver, harness.services.models.service._resolve)
    resolver.hosts["mine.example.com"] = []  # the host is gone: its model can be changed and disabled all the same
    assert (await harness.http.patch(path, json={"version": 2, "enabled": False})).status_code == 200
    removed = await harness.http.patch(path, json={"version": 3, "api_key": ""})
    assert (removed.json()["has_key"], removed.json()["warnings"]) == (False, ["no_key"])
    assert await harness.pool.fetchval("SELECT api_key FROM models") is None
    assert (await harness.http.patch(path, json={"version": 4, "base_url": ""})).status_code == 200


async def test_the_instances_own_model_is_configured_not_edited(harness: Harness) -> None:
    path = f"{MODELS}/{LOCAL_ID}"
    assert (await harness.http.patch(path, json={"version": 1, "quality": 5})).status_code == 409
    assert (await harness.http.delete(path)).status_code == 409


async def test_tenants_see_the_platforms_and_never_each_others(harness: Harness) -> None:
    mine = await made(harness.http)
    platform = await made(harness.http, owner="platform", name="shared")
    other = harness.client(await harness.user("other", "owner@other.example"))
    async with other:
        listed = (await other.get(MODELS)).json()["items"]
        assert [item["name"] for item in listed] == ["shared", "fake-chat"]
        assert (await other.get(f"{MODELS}/{platform['id']}")).status_code == 200
        for method, body in (("GET", None), ("PATCH", {"version": 1}), ("DELETE", None)):
            response = await other.request(method, f"{MODELS}/{mine['id']}", json=body)
            assert response.status_code == 404, response.text
        assert (await other.post(f"{MODELS}/{mine['id']}/test")).status_code == 404
        hiding = await made(other, name="shared")
        assert hiding["owner"] == "tenant"


async def test_the_platforms_models_need_its_permission(harness: Harness) -> None:
    platform = await made(harness.http, owner="platform", name="shared")
    path = f"{MODELS}/{platform['id']}"
    admin = await harness.user("default", "second@example.com", "admin")
    async with harness.client(admin) as second:
        assert (await second.get(path)).status_code == 200
        assert (await second.post(MODELS, json=QWEN | {"owner": "platform", "name": "x"})).status_code == 403
        assert (await second.patch(path, json={"version": 1, "quality": 1})).status_code == 403
        assert (await second.delete(path)).status_code == 403
        assert (await second.post(f"{path}/test")).status_code == 403
        assert (await second.post(f"{MODELS}/{LOCAL_ID}/test")).status_code == 403
        assert (await second.post(MODELS, json=QWEN)).status_code == 201
    denied = await harness.pool.fetch("SELECT action FROM audit_logs WHERE outcome = 'denied' ORDER BY id")
    assert [row["action"] for row in denied] == [
        *("model.created", "model.changed", "model.deleted", "model.tested", "model.tested")
    ]
    member = await harness.user("default", "member@example.com", "member")
    async with harness.client(member) as third:
        assert (await third.get(MODELS)).status_code == 403


async def test_what_was_done_is_written_down_without_the_key(harness: Harness) -> None:
    model = await made(harness.http)
    path = f"{MODELS}/{model['id']}"
    await harness.http.patch(path, json={"version": 1, "speed": 5, "api_key": "sk-another-secret"})
    await harness.http.delete(path)
    rows = await harness.pool.fetch(
        "SELECT action, resource_id, details FROM audit_logs WHERE resource = 'model' ORDER BY id"
    )
    assert [row["action"] for row in rows] == ["model.created", "model.changed", "model.deleted"]
    assert {row["resource_id"] for row in rows} == {model["id"]}
    assert rows[1]["details"]["changed"] == ["speed", "api_key"]
    everything = await harness.pool.fetchval("SELECT string_agg(t::text, '') FROM audit_logs t")
    assert "sk-" not in everything


async def test_a_write_sent_twice_happens_once(harness: Harness) -> None:
    headers = {"Idempotency-Key": str(uuid4())}
    first, again = [await harness.http.post(MODELS, json=QWEN, headers=headers) for _ in range(2)]
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json() == again.json()
    assert await harness.pool.fetchval("SELECT count(*) FROM models") == 1
    everything = await harness.pool.fetchval("SELECT string_agg(t::text, '') FROM idempotency_keys t")
    assert SECRET not in everything


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": ""},
        {"name": "auto"},
        {"name": "Auto:cheapest"},
        {"name": "kb:手册"},
        {"name": "a b"},
        {"name": "kb:x"},
        {"provider": "local"},
        {"provider": "nobody"},
        {"provider": "openai_compatible"},
        {"base_url": "http://api.example.com/v1"},
        {"base_url": "https://127.0.0.1/v1"},
        {"base_url": "https://user:pass@api.example.com/v1"},
        {"base_url": "ftp://api.example.com"},
        {"base_url": "https://[::1"},
        {"base_url": "https://nowhere.invalid/v1"},
        {"api_key": "two words"},
        {"api_key": "x" * 2001},
        {"api_key": "sk-\u0000"},
        {"capabilities": ["flying"]},
        {"context_tokens": 0},
        {"max_output_tokens": 131073},
        {"price": {"prompt": -1}},
        {"price": {"prompt": 0.5}},
        {"price": {"dollars": 1}},
        {"limits": {"parallel": 10**12}},
        {"quality": 6},
        {"speed": 0},
        {"fallbacks": ["qwen-plus"]},
        {"fallbacks": ["x"] * 21},
        {"options": {"a": "\u0000"}},
        {"options": {"a": "\ud800"}},
        {"options": {"a": 2**63}},
        {"options": {"a": [[[[1]]]]}},
        {"options": {"a": "x" * 5000}},
        {"id": str(uuid4())},
    ],
)
async def test_bad_input_is_refused_and_keys_are_not_echoed(harness: Harness, wrong: dict[str, Any]) -> None:
    response = await harness.http.post(
        MODELS, content=json.dumps(QWEN | wrong), headers={"content-type": "application/json"}
    )
    assert response.status_code == 400, response.text
    assert "x" * 100 not in response.text and "two words" not in response.text
    assert await harness.pool.fetchval("SELECT count(*) FROM models") == 0


async def test_fallbacks_that_are_not_there_yet_are_warned_about(harness: Harness) -> None:
    model = await made(harness.http, fallbacks=["later", "fake-chat"])
    assert model["warnings"] == ["unknown_fallback: later"]
    await made(harness.http, name="later", fallbacks=["qwen-plus"])  # a circle is harmless
    again = await harness.http.patch(f"{MODELS}/{model['id']}", json={"version": 1})
    assert again.json()["warnings"] == []


async def test_one_small_call_tells_whether_a_model_works(harness: Harness) -> None:
    desk = harness.services.models
    assert desk is not None and isinstance(desk.backends, FakeBackends)
    model = await made(harness.http)
    desk.backends.models["qwen-plus"] = fake = FakeChatModel("OK")
    good = await harness.http.post(f"{MODELS}/{model['id']}/test")
    assert good.status_code == 200, good.text
    assert good.json()["ok"] and good.json()["total_ms"] >= good.json()["first_ms"] >= 0
    assert good.json()["completion_tokens"] == 2
    assert fake.requests[0].max_tokens <= 16
    assert desk.backends.asked[0].name == "qwen-plus"

    class Broken(FakeChatModel):
        async def stream(self, request: Any) -> Any:
            raise ModelUnavailable("The model server refuses our key", {"status": 401})
            yield

    desk.backends.models["qwen-plus"] = Broken()
    bad = (await harness.http.post(f"{MODELS}/{model['id']}/test")).json()
    assert not bad["ok"] and bad["first_ms"] is None
    assert (bad["error"]["code"], bad["error"]["details"]["status"]) == (50302, 401)
    embedder = await made(harness.http, name="embed", kind="embedding")
    assert (await harness.http.post(f"{MODELS}/{embedder['id']}/test")).status_code == 400
