"""Clients that ask again and again with the same Idempotency-Key until each has its answer, whatever is killed."""

import asyncio
import json
import random
import secrets
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.prove.tenancy_server import QUESTION, Cluster

PATIENCE_S = 180.0
REPEATS = 3


@dataclass
class Asked:
    """One question of one client: what all its repetitions brought."""

    conversation: str
    content: str
    key: str = field(default_factory=lambda: secrets.token_hex(12))
    acknowledged: float = 0.0  # when the server first said that it has the question
    answers: list[tuple[str, str]] = field(default_factory=list)  # id and text, of each repetition
    failed: str = ""


@dataclass
class Tally:
    """What happened to all requests. `errors` holds (when, what) of each that was no success."""

    asked: list[Asked] = field(default_factory=list)
    errors: list[tuple[float, str]] = field(default_factory=list)
    replayed: int = 0

    def note(self, what: str) -> None:
        self.errors.append((time.monotonic(), what))

    def kinds(self) -> Counter[str]:
        return Counter(what for _, what in self.errors)


class Load:
    """`clients` conversations with one server; every question is sent `REPEATS` times."""

    def __init__(self, server: Cluster, kb: str, clients: int, seed: int) -> None:
        self._server, self._kb, self._clients = server, kb, clients
        self._random = random.Random(seed)
        self.tally = Tally()
        self.conversations: list[str] = []
        limits = httpx.Limits(max_connections=clients * REPEATS, max_keepalive_connections=64)
        self._http = httpx.AsyncClient(
            base_url=server.url,
            timeout=httpx.Timeout(60, connect=10),
            limits=limits,
            trust_env=False,
            headers={"Authorization": f"Bearer {server.login()['access_token']}"},
        )

    async def open(self) -> None:
        """A conversation for each client."""
        turns = asyncio.Semaphore(16)

        async def one() -> str:
            async with turns:
                body = {"knowledge_bases": [self._kb]}
                reply = await self._http.post("/api/v1/conversations", json=body)
                return str(reply.raise_for_status().json()["id"])

        self.conversations = list(await asyncio.gather(*(one() for _ in range(self._clients))))

    async def close(self) -> None:
        await self._http.aclose()

    async def ask(self, questions: int) -> None:
        """That many questions, spread over the clients, each client's own one after the other."""
        share = [questions // self._clients + (i < questions % self._clients) for i in range(self._clients)]

        async def client(number: int) -> None:
            await asyncio.sleep(self._random.uniform(0, 2))
            for turn in range(share[number]):
                await self._question(number, turn)

        await asyncio.gather(*(client(number) for number in range(self._clients)))

    async def ask_until(self, stopped: asyncio.Event, pause_s: float) -> None:
        """Questions, one every `pause_s` seconds a client or slower, until told to stop; each begun one is finished."""

        async def client(number: int) -> None:
            turn = 0
            await asyncio.sleep(self._random.uniform(0, pause_s))
            while not stopped.is_set():
                began = time.monotonic()
                await self._question(number, turn)
                turn += 1
                left = pause_s - (time.monotonic() - began)
                if left > 0:
                    await asyncio.sleep(left)

        await asyncio.gather(*(client(number) for number in range(self._clients)))

    async def _question(self, number: int, turn: int) -> None:
        asked = Asked(self.conversations[number], f"{QUESTION}{number}-{turn}")
        self.tally.asked.append(asked)
        waits = [0.0, self._random.uniform(0, 0.3), self._random.uniform(0.1, 1.5)][:REPEATS]
        streams = [self._random.random() < 0.5 for _ in waits]
        await asyncio.gather(*(self._insist(asked, wait, stream) for wait, stream in zip(waits, streams, strict=True)))

    async def _insist(self, asked: Asked, wait: float, stream: bool) -> None:
        await asyncio.sleep(wait)
        deadline = time.monotonic() + PATIENCE_S
        send: Callable[[Asked], Awaitable[tuple[str, str] | float]] = self._streamed if stream else self._whole
        while time.monotonic() < deadline:
            try:
                found = await send(asked)
            except (httpx.HTTPError, ValueError) as error:
                self.tally.note(f"connection: {type(error).__name__}")
                found = 0.5
            if isinstance(found, tuple):
                asked.answers.append(found)
                return
            await asyncio.sleep(min(found, 2.0) * self._random.uniform(0.7, 1.3))
        asked.failed = "no answer within the time"

    async def _whole(self, asked: Asked) -> tuple[str, str] | float:
        """The answer's id and text, or the seconds to wait before another attempt."""
        reply = await self._http.post(self._path(asked), json={"content": asked.content}, headers=self._headers(asked))
        if reply.status_code != 200:
            return self._refused(reply)
        asked.acknowledged = asked.acknowledged or time.monotonic()
        self.tally.replayed += "idempotent-replayed" in reply.headers
        turn = reply.json()
        if turn["question"]["content"] != asked.content:
            asked.failed = f"the answer to another question: {turn['question']['content']}"
        return self._ended(turn["answer"])

    async def _streamed(self, asked: Asked) -> tuple[str, str] | float:
        headers = self._headers(asked) | {"accept": "text/event-stream"}
        async with self._http.stream("POST", self._path(asked), json={"content": asked.content}, headers=headers) as s:
            if s.status_code != 200:
                await s.aread()
                return self._refused(s)
            name, answer, failed = "", None, False
            async for line in s.aiter_lines():
                if line.startswith("event: "):
                    name = line[7:]
                elif line.startswith("data: "):
                    data = json.loads(line[6:])
                    match name:
                        case "message.created":
                            asked.acknowledged = asked.acknowledged or time.monotonic()
                        case "error":
                            failed = True
                            self.tally.note(f"stream: error {data['code']}")
                        case "message.completed":
                            answer = data["message"]
        if answer is None:
            if not failed:
                self.tally.note("stream: ended early")
            return 0.5
        return self._ended(answer)

    def _ended(self, answer: dict[str, Any]) -> tuple[str, str] | float:
        if answer["status"] != "completed":
            self.tally.note(f"answer: {answer['status']}")
            return 0.5
        return str(answer["id"]), str(answer["content"])

    def _refused(self, reply: httpx.Response) -> float:
        try:
            code = reply.json()["code"]
        except (ValueError, KeyError, TypeError):
            code = f"no body of ours: {reply.text[:60]!r}"
        wait = reply.headers.get("retry-after")
        bare = "" if wait else " without Retry-After"
        self.tally.note(f"{reply.status_code}{bare} {code}")
        return float(wait or 0.5)

    @staticmethod
    def _path(asked: Asked) -> str:
        return f"/api/v1/conversations/{asked.conversation}/messages"

    @staticmethod
    def _headers(asked: Asked) -> dict[str, str]:
        return {"Idempotency-Key": asked.key}


def stored(server: Cluster, load: Load) -> list[str]:
    """What PostgreSQL holds that it should not, or the other way round."""
    rows = server.sql(
        "SELECT conversation_id::text AS conversation, seq, role, status, content, id::text AS id FROM messages"
        " WHERE conversation_id = ANY($1::uuid[]) ORDER BY conversation_id, seq",
        load.conversations,
    )
    wrong: list[str] = []
    by_conversation: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        by_conversation.setdefault(row["conversation"], []).append(row)
    asked: dict[str, list[Asked]] = {}
    for one in load.tally.asked:
        asked.setdefault(one.conversation, []).append(one)
    for conversation, questions in asked.items():
        wrong += _compare(questions, by_conversation.get(conversation, []))
    return wrong


def _compare(asked: list[Asked], rows: list[dict[str, Any]]) -> list[str]:
    wrong = []
    expected = ["user", "assistant"] * (len(rows) // 2)
    if [row["role"] for row in rows] != expected or [row["seq"] for row in rows] != list(range(1, len(rows) + 1)):
        wrong.append(f"order: {[(row['seq'], row['role']) for row in rows]}")
    if [row["content"] for row in rows if row["role"] == "user"] != [one.content for one in asked]:
        wrong.append(f"questions: {[row['content'] for row in rows if row['role'] == 'user']}")
    answers = {row["id"]: row for row in rows if row["role"] == "assistant"}
    for one in asked:
        texts = {(i, answers[i]["content"] if i in answers else None) for i, _ in one.answers}
        if one.failed or len(one.answers) != REPEATS or len(set(one.answers)) != 1 or texts != set(one.answers):
            wrong.append(f"{one.content}: {one.failed or set(one.answers)}")
    return wrong + [
        f"answer {row['id']} is {row['status']}" for row in answers.values() if row["status"] != "completed"
    ]
