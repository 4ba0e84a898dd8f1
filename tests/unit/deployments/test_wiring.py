import asyncio
from typing import Protocol

import pytest

from deployments.engines import PatientOpener, index_name
from deployments.wiring import Node, Nodes
from voicehelper.config import Settings
from voicehelper.errors import Unavailable


class Thing(Protocol):
    async def what(self) -> str: ...


class Inline:
    async def what(self) -> str:
        return "inline"


class Handle:
    deployment_name = "thing"

    def options(self, **_options):
        return self


async def _build(_nodes: Nodes) -> Thing:
    return Inline()


THING: Node[Thing] = Node("thing", Thing, _build)


async def test_a_node_is_built_once_unless_there_is_a_handle():
    nodes = Nodes(Settings(), {})
    assert await nodes.get(THING) is await nodes.get(THING)
    assert nodes.is_here(THING)
    assert not nodes.is_remote(THING)

    nodes = Nodes(Settings(), {"thing": Handle()})
    assert type(await nodes.get(THING)).__name__ == "RemoteThing"
    assert not nodes.is_here(THING)
    assert nodes.is_remote(THING)


async def test_a_dead_background_task_makes_the_replica_unhealthy():
    async def breaks() -> None:
        raise ValueError("kaputt")

    nodes = Nodes(Settings(), {})
    nodes.run("loop", asyncio.sleep(60))
    nodes.check()
    nodes.run("indexer", breaks())
    await asyncio.sleep(0)
    with pytest.raises(Unavailable, match="indexer") as stopped:
        nodes.check()
    assert isinstance(stopped.value.__cause__, ValueError)
    await nodes.close()


async def test_a_failed_attempt_does_not():
    async def gives_up() -> None:
        raise Unavailable

    nodes = Nodes(Settings(), {})
    nodes.try_once("warm-up", gives_up())
    await asyncio.sleep(0.01)
    nodes.check()
    await nodes.close()


async def test_closing_ends_tasks_first_and_resources_in_reverse():
    closed = []

    async def work() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            closed.append("task")

    nodes = Nodes(Settings(), {})
    nodes.resources.callback(closed.append, "pool")
    nodes.resources.callback(closed.append, "listener")
    nodes.run("loop", work())
    await asyncio.sleep(0)
    await nodes.close()
    assert closed == ["task", "listener", "pool"]


def test_the_name_of_an_index_is_kept_with_it(tmp_path):
    name = index_name(tmp_path / "keyword")
    assert index_name(tmp_path / "keyword") == name
    assert index_name(tmp_path / "other") != name
    assert [path.name for path in (tmp_path / "keyword").iterdir()] == ["name"]


def test_a_stand_in_waits_until_the_index_lay_free_for_long():
    class Writer:
        closed = 0

        def close(self) -> None:
            Writer.closed += 1

    busy, now = [False], [100.0]

    def open_writer() -> Writer:
        if busy[0]:
            raise Unavailable
        return Writer()

    opener = PatientOpener(open_writer, 15, lambda: now[0])
    with pytest.raises(Unavailable):
        opener()
    now[0] += 10
    busy[0] = True  # the indexer is back
    with pytest.raises(Unavailable):
        opener()
    busy[0] = False
    now[0] += 10
    with pytest.raises(Unavailable):
        opener()
    assert Writer.closed == 2
    now[0] += 15
    assert isinstance(opener(), Writer)
    assert isinstance(PatientOpener(open_writer, 0)(), Writer)
