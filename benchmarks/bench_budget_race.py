"""200 calls at the same time against a budget that pays for 50 of them: how much is overspent, ours beside LiteLLM's.

    python -m benchmarks.bench_budget_race [--calls 200] [--pays-for 50]

The upstream is a mock that takes 0.3 s and always uses the same tokens, so what was truly spent is the number of calls
it served times their price; nobody's own counters are asked. After the race the same key asks one call after the other
until it is refused: what of the budget was left unused, and whether the end is exact.

LiteLLM keeps budgets of keys in a database through Prisma, whose engines come from a host of their own and cannot be
had everywhere. So its key comes from LiteLLM's hook for authentication (benchmarks/litellm/budget_auth.py); the checks,
reservations and settlement that run on it are LiteLLM's own: one worker counting in memory, and two workers counting in
Valkey. Ours: an installation with two gateway replicas, the budget of a key through the API.
"""

import argparse
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import httpx

from benchmarks.chat_load import Told
from benchmarks.gateway_rig import valkey_server
from benchmarks.instance_rig import installation, start
from benchmarks.mock_upstream import PROMPT_TOKENS
from benchmarks.report import Aim, aims, at_most, table
from benchmarks.router_rig import (
    COMPLETION_MICROS,
    MODEL,
    PROMPT_MICROS,
    Target,
    add_model,
    all_of,
    begun,
    http_port,
    light,
    litellm,
    litellm_proxy,
    mock_upstream,
    under_load,
)

COMPLETION_TOKENS = 16
PRICE = PROMPT_TOKENS * PROMPT_MICROS + COMPLETION_TOKENS * COMPLETION_MICROS
MAX_TOKENS = 64
_SLOW = ("--delay-s", "0.3", "--completion-tokens", str(COMPLETION_TOKENS))
_SETTLE_S = 3.0


@dataclass(frozen=True)
class Race:
    """What was served while all asked at once, and afterwards one by one; how the others were refused."""

    name: str
    at_once: int
    afterwards: int
    refused: dict[int, int]

    def row(self, pays_for: int) -> list[str]:
        """For the table."""
        spent = (self.at_once + self.afterwards) * PRICE
        over = overspent(spent, pays_for * PRICE)
        refused = ", ".join(f"{status} x{count}" for status, count in sorted(self.refused.items()))
        return [self.name, str(self.at_once), str(self.afterwards), f"{spent / 1e6:.4f}", f"{over:.1f} %", refused]


def overspent(spent: int, budget: int) -> float:
    """Percent of the budget."""
    return max(0, spent - budget) * 100 / budget


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=200)
    parser.add_argument("--pays-for", type=int, default=50)
    given = parser.parse_args()
    budget, calls = given.pays_for * PRICE, given.calls
    litellm()
    races = [race(mock, target, calls) for mock, target in contestants(budget)]
    print(f"Budget {budget / 1e6:.4f} USD, a call costs {PRICE / 1e6:.4f} USD, {calls} calls at once\n")
    head = ["", "served at once", "afterwards, one by one", "spent, USD", "overspent", "the others"]
    print(table(head, [found.row(given.pays_for) for found in races]), "\n")
    print(aims(*(judged(found, given.pays_for) for found in races if found.name.startswith("ours"))))


def judged(found: Race, pays_for: int) -> Aim:
    """Nothing over, at once and afterwards."""
    over = overspent((found.at_once + found.afterwards) * PRICE, pays_for * PRICE)
    return at_most(f"Overspend, {found.name}", 0, over, "%", 3)


def race(mock: Target, target: Target, calls: int) -> Race:
    """All at once, each of its own connection; then one by one."""
    before = begun(mock)
    at_once = under_load(target, Told(target.port, target.key, MODEL, False, calls, 60, 1, MAX_TOKENS)).found
    middle = begun(mock)
    time.sleep(_SETTLE_S)
    under_load(target, Told(target.port, target.key, MODEL, False, 1, 60, calls, MAX_TOKENS))
    return Race(target.name, middle - before, begun(mock) - middle, at_once.failures)


def contestants(budget: int) -> Iterator[tuple[Target, Target]]:
    """Each with its mock; only one runs at a time."""
    with ExitStack() as running:
        mock = running.enter_context(mock_upstream(*_SLOW))
        with _ours(mock, budget) as target:
            yield mock, target
        dollars = str(budget / 1e6)
        with litellm_proxy("LiteLLM, 1 worker, in memory", "budget", mock, BENCH_BUDGET=dollars) as target:
            yield mock, target
        valkey = running.enter_context(valkey_server())
        url = httpx.URL(valkey.url())
        redis = {"BENCH_REDIS_PORT": str(url.port), "BENCH_REDIS_PASSWORD": url.password, "BENCH_BUDGET": dollars}
        with litellm_proxy("LiteLLM, 2 workers, Valkey", "budget_redis", mock, 2, **redis) as target:
            yield mock, target


@contextmanager
def _ours(mock: Target, budget: int) -> Iterator[Target]:
    with installation() as server:
        light(server, VOICEHELPER_NODES='{"gateway": {"num_replicas": 2}}')
        start(server, "--no-sample")
        with server.api() as api:
            add_model(api, mock)
            key = key_with_budget(api, budget)
        yield Target("ours, 2 replicas", http_port(server), key, MODEL, lambda: all_of(server))


def key_with_budget(api: httpx.Client, micros: int) -> str:
    """An API key that may spend so much a month, and no more."""
    made = api.post("/api/v1/api-keys", json={"name": "race", "permissions": ["models:use"]}).raise_for_status().json()
    body = {"kind": "key", "subject_id": made["id"], "hard_micros": micros}
    reply = api.post("/api/v1/budgets", json=body)
    if reply.status_code not in {200, 201}:
        raise SystemExit(f"the budget was not taken: {reply.status_code} {reply.text[:500]}")
    time.sleep(5)  # within so long every replica knows it
    return str(made["key"])


if __name__ == "__main__":
    main()
