"""The supervisor over fake components, in virtual time."""

import asyncio
import json
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from voicehelper.embedded.policy import Limits
from voicehelper.embedded.process import EngineBroken, EngineError
from voicehelper.embedded.supervisor import Supervisor
from voicehelper.ports.clock import FakeClock


@dataclass
class FakeComponent:
    """Counts its starts; `fault` is what its next check raises."""

    name: str
    needs: tuple[str, ...] = ()
    follows: tuple[str, ...] = ()
    limits: Limits = Limits(start_timeout=30, misses=2)
    check_every: float = 1.0
    port: int = 0
    managed: bool = True
    fault: Exception | None = None
    refuses: Exception | None = None
    starts: int = 0
    stops: list[str] = field(default_factory=list)

    async def start(self) -> None:
        self.starts += 1
        if self.refuses is not None:
            raise self.refuses

    async def check(self) -> str:
        if self.fault is not None:
            raise self.fault
        return "1.0"

    async def stop(self, process: subprocess.Popen[bytes] | None) -> None:
        self.stops.append(self.name)


class Rig:
    """A running supervisor whose time passes only in `pass_time`."""

    def __init__(self, folder: Path, *components: FakeComponent) -> None:
        self.clock = StepClock()
        self.file = folder / "status.json"
        self.supervisor = Supervisor(components, self.file, folder, self.clock)

    async def __aenter__(self) -> "Rig":
        self.task = asyncio.create_task(self.supervisor.run())
        return self

    async def __aexit__(self, *details: object) -> None:
        self.supervisor.stop()
        self.clock.budget = 1e9
        self.clock.go.set()
        await self.task

    async def pass_time(self, seconds: float) -> None:
        self.clock.budget = seconds
        self.clock.go.set()
        await self.clock.spent.wait()
        self.clock.spent.clear()

    def states(self) -> dict[str, str]:
        return {name: record["state"] for name, record in self.records().items()}

    def records(self) -> dict[str, dict[str, Any]]:
        return {record["name"]: record for record in json.loads(self.file.read_text())["components"]}


class StepClock(FakeClock):
    """Sleepers wait until the test grants time."""

    def __init__(self) -> None:
        super().__init__(1000.0)
        self.budget = 0.0
        self.go, self.spent = asyncio.Event(), asyncio.Event()

    async def sleep(self, seconds: float) -> None:
        if self.budget < seconds:
            self.go.clear()
            self.spent.set()
            await self.go.wait()
        self.budget -= seconds
        self.time += seconds
        await asyncio.sleep(0)
        await asyncio.sleep(0)  # tasks started in this tick run before the next one


async def test_starts_in_the_order_of_need_and_stops_in_reverse(tmp_path: Path) -> None:
    stops: list[str] = []
    first = FakeComponent("first", stops=stops)
    second = FakeComponent("second", needs=("first",), stops=stops)
    first.fault = EngineError("not yet")
    async with Rig(tmp_path, first, second) as rig:
        await rig.pass_time(2)
        assert rig.states() == {"first": "starting", "second": "waiting"}
        first.fault = None
        await rig.pass_time(2)
        assert rig.states() == {"first": "ready", "second": "ready"}
    assert stops == ["second", "first"]
    assert rig.states() == {"first": "stopped", "second": "stopped"}


async def test_a_component_restarts_when_what_carries_it_does(tmp_path: Path) -> None:
    carrier = FakeComponent("carrier")
    rider = FakeComponent("rider", needs=("carrier",), follows=("carrier",))
    guest = FakeComponent("guest", needs=("carrier",))
    async with Rig(tmp_path, carrier, rider, guest) as rig:
        await rig.pass_time(3)
        carrier.fault = EngineError("hung")
        await rig.pass_time(3)
        carrier.fault = None
        await rig.pass_time(5)
        assert (carrier.starts, rider.starts, guest.starts) == (2, 2, 1)
        assert set(rig.states().values()) == {"ready"}
        assert rig.records()["carrier"]["restarts"] == 1


async def test_a_broken_component_is_started_again_at_once(tmp_path: Path) -> None:
    component = FakeComponent("x", limits=Limits(start_timeout=300, misses=30))
    async with Rig(tmp_path, component) as rig:
        await rig.pass_time(2)
        component.fault = EngineBroken("lost")
        await rig.pass_time(2)
        assert component.starts >= 2
        assert rig.records()["x"]["reason"] == "lost"


async def test_a_refused_start_is_reported_and_tried_again(tmp_path: Path) -> None:
    component = FakeComponent("x", refuses=EngineError("the disk is full"))
    async with Rig(tmp_path, component) as rig:
        await rig.pass_time(5)
        assert component.starts >= 3
        assert rig.records()["x"]["reason"] == "the disk is full"
        component.refuses = None
        await rig.pass_time(10)
        assert rig.states() == {"x": "ready"}
