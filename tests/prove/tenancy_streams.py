"""Point 6: an answer's events, cut at a random byte and resumed, again and again: every event exactly once."""

import json
import random
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.prove.tenancy_server import QUESTION, Cluster

CUTS_A_STREAM = 10


@dataclass
class Heard:
    """What one client has of one answer, over all its connections."""

    events: list[tuple[int, str, str]] = field(default_factory=list)  # id, name, data
    message: str = ""
    cuts: int = 0
    wrong: list[str] = field(default_factory=list)

    @property
    def last(self) -> int:
        return self.events[-1][0] if self.events else 0

    @property
    def ended(self) -> bool:
        return bool(self.events) and self.events[-1][1] in {"message.completed", "error"}


def cut_and_resume(server: Cluster, kb: str, cuts: int, seed: int) -> tuple[str, bool]:
    """Figure and verdict of `cuts` resumptions, over as many answers as it takes."""
    rng = random.Random(seed)
    wrong: list[str] = []
    made = answers = events = 0
    with server.api() as api:
        while made < cuts:
            answers += 1
            conversation = api.post("/api/v1/conversations", json={"knowledge_bases": [kb]}).raise_for_status().json()
            heard = _follow(api, str(conversation["id"]), min(CUTS_A_STREAM, cuts - made), rng)
            made, events = made + heard.cuts, events + len(heard.events)
            wrong += heard.wrong + _compare(api, str(conversation["id"]), heard)
            if heard.cuts == 0:
                wrong.append("a stream that was never cut")
                break
    figure = f"{made} cuts of {answers} answers, {events} events, {len(wrong)} wrong {wrong[:4]}"
    return figure, not wrong and made >= cuts


def _follow(api: httpx.Client, conversation: str, cuts: int, rng: random.Random) -> Heard:
    """One answer from question to end, its connection cut `cuts` times."""
    heard, key = Heard(), secrets.token_hex(12)
    body = {"content": QUESTION, "keep_running": True}
    path = f"/api/v1/conversations/{conversation}/messages"
    for _ in range(cuts * 3):
        budget = rng.randint(1, 2500) if heard.cuts < cuts else None
        headers = {"accept": "text/event-stream"}
        if heard.message:
            headers |= {"last-event-id": str(heard.last)}
            request = api.build_request("GET", f"{path}/{heard.message}/events", headers=headers)
        else:  # nothing came yet: the question itself is sent again
            request = api.build_request("POST", path, json=body, headers=headers | {"idempotency-key": key})
        _read(api, request, heard, budget)
        if heard.ended or heard.wrong:
            break
    if not heard.ended:
        heard.wrong.append(f"no end after {len(heard.events)} events")
    return heard


def _read(api: httpx.Client, request: httpx.Request, heard: Heard, budget: int | None) -> None:
    """Read one connection's events; hang up after `budget` bytes."""
    response = api.send(request, stream=True)
    try:
        if response.status_code != 200:
            response.read()
            heard.wrong.append(f"{request.method} {response.status_code} {response.text[:160]}")
            return
        raw = b""
        for piece in response.iter_raw(256):
            raw += piece
            if budget is not None and len(raw) >= budget:
                heard.cuts += 1
                raw = raw[:budget]
                break
        for number, name, data in _events(raw):
            if number != heard.last + 1:
                heard.wrong.append(f"event {number} after {heard.last}")
            heard.events.append((number, name, data))
            if name == "message.created" and not heard.message:
                heard.message = _answer_id(data)
    finally:
        response.close()


def _events(raw: bytes) -> Iterator[tuple[int, str, str]]:
    """Complete events of the bytes that came; what follows the last blank line never arrived."""
    for block in raw.split(b"\n\n")[:-1]:
        fields: dict[str, str] = {}
        for line in block.decode().split("\n"):
            name, _, value = line.partition(": ")
            fields[name] = value
        if "id" in fields:
            yield int(fields["id"]), fields.get("event", ""), fields.get("data", "")


def _answer_id(data: str) -> str:
    return str(json.loads(data)["answer"]["id"])


def _compare(api: httpx.Client, conversation: str, heard: Heard) -> list[str]:
    """Against the whole answer as it is replayed once it has ended: the same events, each once."""
    if not heard.message:
        return ["no message.created"]
    path = f"/api/v1/conversations/{conversation}/messages/{heard.message}/events"
    whole = Heard()
    _read(api, api.build_request("GET", path, headers={"accept": "text/event-stream"}), whole, None)
    wrong = list(whole.wrong)
    if [event[0] for event in heard.events] != list(range(1, len(heard.events) + 1)):
        wrong.append("ids with gaps or doubles")
    if heard.events != whole.events:
        differing: list[Any] = [(a, b) for a, b in zip(heard.events, whole.events, strict=False) if a != b][:1]
        wrong.append(f"{len(heard.events)} events heard, {len(whole.events)} replayed, first difference {differing}")
    return wrong
