"""The load generator and the mock it is checked against, in one process over real sockets."""

import asyncio
import json
from contextlib import asynccontextmanager

import openai

from benchmarks.bench_budget_race import PRICE, Race, overspent
from benchmarks.bench_router_peers import Cell, figures, judged
from benchmarks.chat_load import Found, Told, load
from benchmarks.mock_upstream import Answers, Connection
from benchmarks.report import read_aims


@asynccontextmanager
async def mock(chunks=3):
    answers = Answers(chunks, 0.0, 16)
    server = await asyncio.get_running_loop().create_server(lambda: Connection(answers), "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1], answers
    finally:
        server.close()


async def test_every_request_is_counted_once():
    async with mock() as (port, answers):
        for stream in (False, True):
            answers.begun = 0
            found = await load(Told(port, "key", "m", stream, clients=4, seconds=30, requests=5))
            assert len(found.latencies) == len(found.first_bytes) == answers.begun == 20
            assert not found.failures


async def test_the_official_client_reads_the_mock():
    async with mock() as (port, _), openai.AsyncOpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="k") as client:
        asked = [{"role": "user", "content": "?"}]
        whole = await client.chat.completions.create(model="m", messages=asked)
        assert whole.choices[0].message.content == "word " * 3
        assert whole.usage.total_tokens == 26
        chunks = [c async for c in await client.chat.completions.create(model="m", messages=asked, stream=True)]
        assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == "word " * 3
        assert chunks[-1].usage.completion_tokens == 16


async def test_refusals_broken_streams_and_lost_connections_are_failures():
    replies = {
        "refused": b"HTTP/1.1 429 X\r\ncontent-length: 2\r\n\r\n{}",
        "broken": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\ndata:\r\n0\r\n\r\n",
        "lost": b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{",
    }
    for name, status in (("refused", 429), ("broken", 0), ("lost", 0)):

        async def answer(reader, writer, reply=replies[name]):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(reply)
            writer.close()

        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        found = await load(Told(port, "key", "m", True, clients=2, seconds=30, requests=1))
        assert found.failures == {status: 2}, name
        assert not found.latencies
        server.close()


def _cell(ms, rate=100.0):
    cell = Cell()
    cell.add(Found(1.0, [ms] * int(rate), [ms] * int(rate)), 1.0)
    return cell


def test_ratios_are_of_what_is_added_to_the_mock():
    names = {"the mock itself": 1.0, "ours": 2.0, "ours, direct port": 1.5, "LiteLLM": 9.0}
    cells = {(name, stream, 1): _cell(ms) for name, ms in names.items() for stream in (False, True)}
    cells["ours", False, 1] = _cell(2.0, 600)
    aims = {aim.what: aim for aim in judged(cells, [1], "the mock itself")}
    assert aims["Added latency, unary, 1 client(s), to LiteLLM's"].measured == "0.125"
    assert aims["Added latency by the direct port, streamed, worst"].measured == "0.062"
    assert aims["Requests/s per core, unary, ours to LiteLLM"].met
    assert not aims["Requests/s per core, streamed, ours to LiteLLM"].met
    assert "| 1 | ours | 2.00 | 2.00 | 1.00 |" in figures(cells, False, [1], "the mock itself")
    assert read_aims(figures(cells, True, [1], "the mock itself")) == []


def test_overspend_is_of_what_was_served():
    assert overspent(50 * PRICE, 50 * PRICE) == 0
    assert overspent(51 * PRICE, 50 * PRICE) == 2
    row = Race("x", 40, 12, {429: 160}).row(50)
    assert row[-2:] == ["4.0 %", "429 x160"]
    assert json.dumps(row)
