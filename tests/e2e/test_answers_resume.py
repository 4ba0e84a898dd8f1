"""Following an answer through Ray Serve's proxy: cut and resumed, watched by a second device, asked twice."""

import json
import threading
from typing import Any

import httpx
import pytest
from websockets import Subprotocol
from websockets.sync.client import connect

from tests.e2e.conftest import Platform, eventually
from tests.e2e.openai_thread import ScriptedModel
from tests.e2e.test_topologies import SENTENCE, answer_with, base
from voicehelper.cli.client import ApiClient

__all__ = ["base"]


@pytest.fixture
def http(app: Platform, client: ApiClient) -> Any:
    client.me()
    headers = {"authorization": f"Bearer {client._token}"}
    with httpx.Client(base_url=app.instance.http_url, headers=headers, trust_env=False, timeout=60) as http:
        yield http


def blocks(body: str) -> list[str]:
    *whole, _ = body.split("\n\n")
    return [block for block in whole if not block.startswith(":")]


def event_id(block: str) -> str:
    return next(line.removeprefix("id: ") for line in block.split("\n") if line.startswith("id: "))


def read(http: httpx.Client, method: str, path: str, characters: int, **options: Any) -> list[str]:
    """Whole events among the first `characters` of a stream, which is then cut."""
    body = ""
    with http.stream(method, path, **options) as response:
        assert response.status_code == 200, response.read()
        for text in response.iter_text():
            body += text
            if len(body) >= characters:
                break
    return blocks(body[:characters])


def test_cut_resumed_watched_and_asked_twice(
    app: Platform, client: ApiClient, http: Any, base: Any, model: ScriptedModel
) -> None:
    answer_with(model, SENTENCE * 8, delay=0.05)
    conversation = client.create_conversation([str(base.id)]).id
    path = f"/api/v1/conversations/{conversation}/messages"
    key = f"asked in {conversation}"
    frames: list[dict[str, Any]] = []
    address = f"{app.instance.http_url.replace('http', 'ws', 1)}/ws/conversations/{conversation}"
    offered = [Subprotocol("voicehelper"), Subprotocol(f"bearer.{client._token}")]
    socket = connect(address, subprotocols=offered, proxy=None)

    def watch() -> None:
        with socket:
            while not frames or frames[-1]["event"] != "message.completed":
                frames.append(json.loads(socket.recv(timeout=60)))

    device = threading.Thread(target=watch)
    device.start()
    question = {"content": "退款多久到账？", "stream": True}
    got = read(http, "POST", path, 3000, json=question, headers={"idempotency-key": key})
    answer = json.loads(got[0].split("data: ")[1].split("\n")[0])["answer"]["id"]
    cuts = 0
    while "event: message.completed" not in got[-1]:
        cuts += 1
        seen = {"last-event-id": event_id(got[-1])}
        got += read(http, "GET", f"{path}/{answer}/events", 100 if cuts % 4 else 10_000, headers=seen)
    device.join(60)
    assert cuts >= 2
    assert [event_id(block) for block in got] == [str(n) for n in range(1, len(got) + 1)]
    assert [frame["id"] for frame in frames] == [event_id(block) for block in got]
    requests = len(model.requests)
    again = http.post(path, json={"content": "退款多久到账？"}, headers={"idempotency-key": key})
    assert again.headers["idempotent-replayed"] == "true"
    assert again.json()["answer"]["id"] == answer
    assert len(model.requests) == requests
    assert len(client.messages(conversation)) == 2


def test_what_is_kept_running_outlives_its_client(
    client: ApiClient, http: Any, base: Any, model: ScriptedModel
) -> None:
    """Serve cancels what a request began when its client leaves; the run is not the request's."""
    answer_with(model, SENTENCE * 4, delay=0.05)
    conversation = client.create_conversation([str(base.id)]).id
    path = f"/api/v1/conversations/{conversation}/messages"
    question = {"content": "退款多久到账？", "stream": True, "keep_running": True}
    read(http, "POST", path, 2500, json=question)
    answer = eventually(
        lambda: next((m for m in client.messages(conversation) if m.seq == 2 and m.status != "streaming"), None),
        "the answer's end",
    )
    assert answer.status == "completed"


def test_stopping_an_answer(client: ApiClient, http: Any, base: Any, model: ScriptedModel) -> None:
    answer_with(model, SENTENCE * 40, delay=0.05)
    conversation = client.create_conversation([str(base.id)]).id
    path = f"/api/v1/conversations/{conversation}/messages"
    question = {"content": "退款多久到账？", "stream": True, "keep_running": True}
    got = read(http, "POST", path, 2500, json=question)
    answer = json.loads(got[0].split("data: ")[1].split("\n")[0])["answer"]["id"]
    stopped = http.post(f"{path}/{answer}/stop").json()
    assert (stopped["status"], stopped["metadata"]["reason"]) == ("stopped", "asked")
    assert model.left.wait(5)
