"""How many calls a server holds on one core."""

import asyncio
import os
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from benchmarks.report import table
from benchmarks.voice_peers.caller import FRAME_MS, RATE_OUT, Server
from benchmarks.voice_peers.recording import said
from benchmarks.voice_peers.servers import cores, server
from voicehelper.ports.speech import VoiceActivityDetector

LIMIT_S = 0.020
STEPS = (10, 20, 25, 30, 40, 50, 60, 80, 100, 120, 140, 160, 180, 200, 240)
SETTLE_S = 4.0
MEASURE_S = 12.0
_PING_S = 0.25
_PAUSE_S = 0.3  # without sound for so long, the next sound is a new answer's


@dataclass
class Lags:
    """In seconds. `own`: how late the callers were themselves, which says whether the figures can be believed."""

    pings: list[float] = field(default_factory=list)
    sounds: list[float] = field(default_factory=list)
    own: list[float] = field(default_factory=list)
    failed: int = 0

    def p95(self) -> float:
        """The worse of both."""
        return max(_p95(self.pings), _p95(self.sounds))


def most_calls(
    command: list[str], client: Callable[[int], Server], detector: VoiceActivityDetector, speech: np.ndarray
) -> int:
    """The most of `STEPS` that keep the limit; prints each step."""
    most, rows = 0, []
    pinned = cores()
    loop = said(detector, speech, 0.3, 5.0, random.Random(0)).pcm
    for calls in STEPS:
        with server(command, pinned[0] if pinned else None) as running:
            if pinned:
                os.sched_setaffinity(0, {pinned[1]})
            before, began = running.cpu_s(), time.perf_counter()
            lags = asyncio.run(_step(client(running.port), calls, loop))
            used = (running.cpu_s() - before) / (time.perf_counter() - began)
        figures = (lags.p95(), _p95(lags.pings), _p95(lags.sounds), _p95(lags.own))
        believed = "" if figures[-1] < LIMIT_S / 2 else "no: the machine is busy"
        rows.append(
            [calls, *(f"{value * 1000:.1f}" for value in figures), lags.failed, f"{used * 100:.0f} %", believed]
        )
        if lags.failed or lags.p95() > LIMIT_S:
            break
        most = calls
    name = client(0).name
    head = [
        f"calls, {name}",
        "p95 lag, ms",
        "of pings",
        "of sound",
        "of the callers",
        "failed",
        "core used",
        "believe it",
    ]
    print(table(head, rows), "\n")
    return most


async def _step(target: Server, calls: int, pcm: bytes) -> Lags:
    lags = Lags()
    began = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for number in range(calls):
            group.create_task(_caller(target, pcm, number / calls, began, lags))
    return lags


async def _caller(target: Server, pcm: bytes, phase: float, began: float, lags: Lags) -> None:
    """Talks in turns, over and over, each caller elsewhere in the recording."""
    await asyncio.sleep(phase * SETTLE_S / 2)
    try:
        async with connect(target.url, max_size=None, compression=None, proxy=None, open_timeout=30) as socket:
            if target.opening:
                await socket.send(target.opening)
            tasks = [
                asyncio.create_task(_listen(socket, target, began, lags)),
                asyncio.create_task(_ping(socket, began, lags)),
            ]
            await _talk(socket, pcm, began, lags)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
    except (ConnectionClosed, OSError, TimeoutError):
        lags.failed += 1


async def _talk(socket: ClientConnection, pcm: bytes, began: float, lags: Lags) -> None:
    step = 16 * FRAME_MS * 2
    start, number = time.perf_counter(), 0
    while time.perf_counter() - began < SETTLE_S + MEASURE_S:
        number += 1
        wait = start + number * FRAME_MS / 1000 - time.perf_counter()
        await asyncio.sleep(max(wait, 0.0))
        if time.perf_counter() - began > SETTLE_S:
            lags.own.append(max(-wait, 0.0))
        at = number * step % (len(pcm) - step)
        await socket.send(pcm[at : at + step])


async def _ping(socket: ClientConnection, began: float, lags: Lags) -> None:
    while True:
        await asyncio.sleep(_PING_S)
        asked = time.perf_counter()
        await (await socket.ping())
        if asked - began > SETTLE_S:
            lags.pings.append(time.perf_counter() - asked)


async def _listen(socket: ClientConnection, target: Server, began: float, lags: Lags) -> None:
    """Plays as it comes: sound is late when what came before is over."""
    over = last = 0.0
    async for message in socket:
        if not isinstance(message, bytes):
            continue
        now = time.perf_counter()
        if now - last > _PAUSE_S and now > over:
            over = now
        elif now - began > SETTLE_S:
            lags.sounds.append(max(now - over, 0.0))
        over = max(over, now - LIMIT_S * 50) + (len(message) - target.header) / 2 / RATE_OUT
        last = now


def _p95(values: list[float]) -> float:
    return float(np.percentile(values, 95)) if values else 0.0
