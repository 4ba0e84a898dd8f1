"""Dead letters over HTTP: seen and replayed by those who may, of their own tenant, and written down."""

from typing import Any

from voicehelper.ids import new_id
from voicehelper.ports.events import Event
from voicehelper.stores.postgres.dead_letters import PostgresDeadLetters

URL = "/api/v1/events/dead-letters"


async def bury(harness: Any, count: int = 1, consumer: str = "summaries", tenant: Any = None) -> list[str]:
    letters = PostgresDeadLetters(harness.pool)
    for number in range(count):
        event = Event(new_id(), "thing.happened", tenant or harness.admin.tenant_id, {"n": number}, 1, "key", 1.7e9)
        await letters.bury(consumer, event, 5, "ValueError at summaries.py:7")
    found = await letters.find(tenant or harness.admin.tenant_id, consumer)
    return [str(letter.id) for letter in found]


async def test_a_letter_says_what_happened(harness: Any) -> None:
    (letter_id,) = await bury(harness)
    (item,) = (await harness.http.get(URL)).json()["items"]
    assert item["id"] == letter_id
    assert (item["consumer"], item["state"], item["type"], item["attempts"]) == (
        "summaries",
        "dead",
        "thing.happened",
        5,
    )
    assert item["occurred_at"] == "2023-11-14T22:13:20Z"
    assert item["payload"] == {"n": 0}
    assert item["error"] == "ValueError at summaries.py:7"


async def test_pages_and_filters(harness: Any) -> None:
    ids = await bury(harness, 5)
    await bury(harness, 2, "statistics")
    first = (await harness.http.get(URL, params={"limit": 2, "consumer": "summaries"})).json()
    rest = (await harness.http.get(URL, params={"cursor": first["next_cursor"], "consumer": "summaries"})).json()
    assert [item["id"] for item in first["items"] + rest["items"]] == ids
    assert rest["next_cursor"] is None
    await harness.http.post(f"{URL}/{ids[0]}/replay")
    for state, count in (("dead", 6), ("replaying", 1), ("replayed", 0)):
        assert len((await harness.http.get(URL, params={"state": state})).json()["items"]) == count
    assert (await harness.http.get(URL, params={"state": "x"})).status_code == 400


async def test_a_replay_is_asked_for_once_and_written_down(harness: Any) -> None:
    (letter_id,) = await bury(harness)
    for _ in range(2):
        response = await harness.http.post(f"{URL}/{letter_id}/replay")
        assert (response.status_code, response.json()["state"]) == (202, "replaying")
    entries = (await harness.http.get("/api/v1/audit-logs", params={"action": "dead_letter.replayed"})).json()["items"]
    assert [entry["resource_id"] for entry in entries] == [letter_id] * 2
    assert entries[0]["details"]["consumer"] == "summaries"
    letters = PostgresDeadLetters(harness.pool)
    (delivery,) = await letters.requested("summaries", 10)
    assert str(delivery.letter_id) == letter_id
    await letters.replayed(delivery.letter_id)
    response = await harness.http.post(f"{URL}/{letter_id}/replay")
    assert (response.status_code, response.json()["code"]) == (409, 40901)


async def test_another_tenants_letters_do_not_exist(harness: Any) -> None:
    stranger = await harness.user("other", "o@example.com")
    (letter_id,) = await bury(harness, tenant=stranger.tenant_id)
    assert (await harness.http.get(URL)).json()["items"] == []
    assert (await harness.http.post(f"{URL}/{letter_id}/replay")).status_code == 404
    assert (await harness.http.get(URL, params={"cursor": letter_id})).json()["items"] == []
    assert await PostgresDeadLetters(harness.pool).requested("summaries", 10) == []
    client = harness.client(stranger)
    assert [item["id"] for item in (await client.get(URL)).json()["items"]] == [letter_id]
    await client.aclose()


async def test_permissions(harness: Any) -> None:
    (letter_id,) = await bury(harness)
    for role, seen, replayed in (("member", 403, 403), ("agent_operator", 200, 403), ("admin", 200, 202)):
        client = harness.client(await harness.user("default", f"{role}@letters.example", role))
        assert (await client.get(URL)).status_code == seen
        assert (await client.post(f"{URL}/{letter_id}/replay")).status_code == replayed
        await client.aclose()
