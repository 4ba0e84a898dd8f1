"""What a gateway adds to `/v1/chat/completions`, beside LiteLLM's proxy: a mock upstream that answers at once, the same
question over connections that stay open, unary and streamed, from 1 to 256 clients, in interleaved rounds.

    python -m benchmarks.bench_router_peers [--clients 1,8,32,64,128,256] [--seconds 2] [--rounds 2]

- **the mock itself**: the floor, with the load generator's own cost.
- **ours**: `voicehelper up` with one gateway replica: Serve's proxy, authentication by API key, the catalogue, routing,
  breaker, reservation and ledger. Its processor time and memory are those of all its processes, Ray, PostgreSQL and
  Valkey included. No request limits, no budget, no model of its own.
- **ours, direct port**: the same replica by its own listener (`http.direct_port`), past Serve's proxy.
- **LiteLLM**: its proxy, 1 worker, in front of the same mock; master key, no database, no callbacks, no budgets.
- **LiteLLM, network_mock**: as LiteLLM measures itself, without any upstream; it knows no streams.

The load generator is a process of its own; all share the machine's cores. Added latency is the median less the mock's.
The first run makes `.bench/litellm`.
"""

import argparse
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

import numpy as np

from benchmarks.chat_load import Found, Told
from benchmarks.instance_rig import Server, installation, start
from benchmarks.report import Aim, aims, at_least, at_most, load, table
from benchmarks.router_rig import (
    MODEL,
    Target,
    add_model,
    all_of,
    free_port,
    http_port,
    light,
    litellm,
    litellm_proxy,
    make_key,
    memory_mib,
    mock_upstream,
    under_load,
)

OURS, DIRECT, THEIRS, THEIRS_MOCKED = "ours", "ours, direct port", "LiteLLM", "LiteLLM, network_mock"
_WARM_UP_S = 1.0


@dataclass
class Cell:
    """All rounds of one target under one load."""

    latencies: list[float] = field(default_factory=list)
    first_bytes: list[float] = field(default_factory=list)
    failures: dict[int, int] = field(default_factory=dict)
    seconds: float = 0.0
    cpu_s: float = 0.0

    def add(self, found: Found, cpu_s: float) -> None:
        """Another round."""
        self.latencies += found.latencies
        self.first_bytes += found.first_bytes
        self.seconds += found.seconds
        self.cpu_s += cpu_s
        for status, count in found.failures.items():
            self.failures[status] = self.failures.get(status, 0) + count

    @property
    def p50(self) -> float:
        """Milliseconds; not a number where nothing succeeded."""
        return float(np.percentile(self.latencies, 50)) if self.latencies else float("nan")

    @property
    def p99(self) -> float:
        """Likewise."""
        return float(np.percentile(self.latencies, 99)) if self.latencies else float("nan")

    @property
    def rate(self) -> float:
        """Requests a second."""
        return len(self.latencies) / self.seconds if self.seconds else 0.0

    @property
    def per_core(self) -> float:
        """Requests for each second of processor time."""
        return len(self.latencies) / self.cpu_s if self.cpu_s else 0.0


Cells = dict[tuple[str, bool, int], Cell]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", default="1,8,32,64,128,256")
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--rounds", type=int, default=2)
    given = parser.parse_args()
    litellm()
    counts = [int(count) for count in given.clients.split(",")]
    with targets() as (mock, others):
        for target in (mock, *others):
            for stream in (False, True)[: 1 + target.streams]:
                under_load(target, _told(target, stream, 8, _WARM_UP_S))
        print(f"Load average {load():.1f} before the first round\n")
        idle = {target.name: memory_mib(target.processes()) for target in (mock, *others)}
        cells = measure((mock, *others), counts, given.seconds, given.rounds)
        print(memory(idle, {target.name: memory_mib(target.processes()) for target in (mock, *others)}), "\n")
    for stream in (False, True):
        print(figures(cells, stream, counts, mock.name), "\n")
    print(aims(*judged(cells, counts, mock.name)))


@contextmanager
def targets() -> Iterator[tuple[Target, list[Target]]]:
    """The mock, and all that stand in front of it; they run at the same time and idle in turns."""
    with ExitStack() as running:
        mock = running.enter_context(mock_upstream())
        server = running.enter_context(installation())
        direct = free_port()
        key = _installed(server, mock, direct)
        yield (
            mock,
            [
                Target(OURS, http_port(server), key, MODEL, lambda: all_of(server)),
                Target(DIRECT, direct, key, MODEL, lambda: all_of(server)),
                running.enter_context(litellm_proxy(THEIRS, "overhead", mock)),
                running.enter_context(litellm_proxy(THEIRS_MOCKED, "network_mock", mock)),
            ],
        )


def _installed(server: Server, mock: Target, direct: int) -> str:
    light(server, VOICEHELPER_HTTP__DIRECT_PORT=direct)
    start(server, "--no-sample")
    with server.api() as api:
        add_model(api, mock)
        return make_key(api)


def measure(chosen: Sequence[Target], counts: Sequence[int], seconds: float, rounds: int) -> Cells:
    """Every target under every load, in turns."""
    cells: Cells = {}
    for round_ in range(rounds):
        for stream in (False, True):
            for clients in counts:
                for target in chosen if round_ % 2 == 0 else reversed(chosen):
                    if stream and not target.streams:
                        continue
                    done = under_load(target, _told(target, stream, clients, seconds))
                    cells.setdefault((target.name, stream, clients), Cell()).add(done.found, done.cpu_s)
                    if done.found.failures:
                        print(f"{target.name}, {clients} clients: {done.found.failures} {done.found.example[:160]}\n")
    return cells


def _told(target: Target, stream: bool, clients: int, seconds: float) -> Told:
    return Told(target.port, target.key, target.model, stream, clients, seconds)


def memory(idle: dict[str, float], after: dict[str, float]) -> str:
    """Proportional set sizes."""
    rows = [[name, f"{idle[name]:.0f}", f"{after[name]:.0f}"] for name in idle]
    return table(["memory (PSS), MiB", "after the warm-up", "after all rounds"], rows)


def figures(cells: Cells, stream: bool, counts: Sequence[int], floor: str) -> str:
    """One mode's table."""
    there = [
        (clients, name)
        for clients in counts
        for name, streamed, number in cells
        if (streamed, number) == (stream, clients)
    ]
    rows = [
        [clients, name, *_row(cells[name, stream, clients], cells[floor, stream, clients])] for clients, name in there
    ]
    head = ["clients", "streamed" if stream else "unary", "p50 ms", "p99 ms", "added ms", "first byte ms"]
    return table([*head, "requests/s", "cores used", "requests/s per core", "failed"], rows)


def _row(cell: Cell, floor: Cell) -> list[str]:
    added = "" if cell is floor else f"{cell.p50 - floor.p50:.2f}"
    first = f"{np.percentile(cell.first_bytes, 50):.2f}" if cell.first_bytes else "-"
    times = [f"{cell.p50:.2f}", f"{cell.p99:.2f}", added, first]
    used = f"{cell.cpu_s / cell.seconds:.2f}"
    return [*times, f"{cell.rate:.0f}", used, f"{cell.per_core:.0f}", str(sum(cell.failures.values()))]


def judged(cells: Cells, counts: Sequence[int], floor: str) -> list[Aim]:
    """Ours against LiteLLM in front of the same mock; a ratio is that of the worst client count, and of one client."""
    found = []
    for stream, mode in ((False, "unary"), (True, "streamed")):
        ratios = {clients: _ratio(cells, stream, clients, floor, OURS) for clients in counts}
        worst = max(ratios, key=lambda clients: ratios[clients])
        first = counts[0]
        found.append(at_most(f"Added latency, {mode}, {first} client(s), to LiteLLM's", 0.25, ratios[first], "", 3))
        found.append(at_most(f"Added latency, {mode}, worst ({worst} clients)", 0.25, ratios[worst], "", 3))
        direct = max(_ratio(cells, stream, clients, floor, DIRECT) for clients in counts)
        found.append(at_most(f"Added latency by the direct port, {mode}, worst", 0.25, direct, "", 3))
        for name in (OURS, DIRECT):
            gain = _most(cells, stream, counts, name) / max(_most(cells, stream, counts, THEIRS), 1e-9)
            found.append(at_least(f"Requests/s per core, {mode}, {name} to LiteLLM", 5, gain, "x"))
    failed = sum(sum(cell.failures.values()) for (name, _, _), cell in cells.items() if name in (OURS, DIRECT))
    found.append(at_most("Failed requests of ours", 0, failed, "", 0))
    return found


def _ratio(cells: Cells, stream: bool, clients: int, floor: str, name: str) -> float:
    """Added latency of `name` over that of LiteLLM."""
    least = cells[floor, stream, clients].p50
    theirs = cells[THEIRS, stream, clients].p50 - least
    return (cells[name, stream, clients].p50 - least) / max(theirs, 1e-9)


def _most(cells: Cells, stream: bool, counts: Sequence[int], name: str) -> float:
    return max(cells[name, stream, clients].per_core for clients in counts)


if __name__ == "__main__":
    main()
