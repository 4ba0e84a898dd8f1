"""Who gets which variant: shares as the weights say, the same everywhere and always."""

import hashlib
import json
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from uuid import UUID, uuid4

import pytest

from tests.fakes.experiments import FakeAssignmentCache, FakeAssignments, experiment_with
from voicehelper.models.experiments.collector import Collector
from voicehelper.models.experiments.draw import BUCKETS, OUTSIDE, bucket_of, cut, draw
from voicehelper.models.experiments.model import Experiment, Weights
from voicehelper.models.experiments.running import RunningExperiments
from voicehelper.models.experiments.statistics import chi_square_tail
from voicehelper.models.model import Caller
from voicehelper.ports.clock import FakeClock

USERS = [str(UUID(int=n)) for n in range(100_000)]


def replica(experiment: Experiment) -> RunningExperiments:
    store, clock = FakeAssignments(), FakeClock()
    running = RunningExperiments(store, FakeAssignmentCache(), Collector(store, clock), clock, 86_400)
    running.replace([experiment])
    return running


async def assigned(experiment: Experiment) -> list[str]:
    running = replica(experiment)
    return [(await running.assign(Caller(experiment.tenant_id, user), "auto")).variant for user in USERS]


@pytest.mark.parametrize("shares", [(50, 30, 20), (95, 5), (1, 1), (0.2, 0.3, 0.4, 0.1)])
async def test_a_hundred_thousand_users_on_two_replicas(shares: tuple[float, ...]) -> None:
    experiment = experiment_with(*shares, id=UUID(int=7), salt="s")
    got = await assigned(experiment)
    assert got == await assigned(experiment)
    counts, chi_square = Counter(got), 0.0
    for variant, share in zip(experiment.variants, shares, strict=True):
        expected = len(USERS) * share / sum(shares)
        assert abs(counts[variant.name] - expected) / len(USERS) < 0.005
        chi_square += (counts[variant.name] - expected) ** 2 / expected
    assert chi_square_tail(chi_square, len(shares) - 1) > 0.001


def test_the_same_after_a_restart() -> None:
    """A process of its own, with its own seed of Python's hashes."""
    experiment = experiment_with(50, 30, 20, id=UUID(int=7), salt="s")
    code = (
        "import json, sys, uuid\n"
        "from voicehelper.models.experiments.draw import cut, draw\n"
        "from voicehelper.models.experiments.model import Weights\n"
        "division = cut(Weights(1, 0.0, (50, 30, 20)))\n"
        "users = [str(uuid.UUID(int=n)) for n in range(5000)]\n"
        "print(json.dumps([division.variant(draw(uuid.UUID(int=7), 's', user)) for user in users]))\n"
    )
    told = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    division = cut(experiment.weights[0])
    assert json.loads(told.stdout) == [division.variant(draw(experiment.id, "s", user)) for user in USERS[:5000]]


def test_the_draw_is_what_the_documentation_says() -> None:
    """The first 8 bytes of SHA-256 over 2^64, over cumulative weights: anybody can check an assignment."""
    identifier, division = uuid4(), cut(Weights(1, 0.0, (50, 30, 20)))
    for user in USERS[:1000]:
        digest = hashlib.sha256(f"{identifier}|salt|{user}".encode()).digest()
        place = int.from_bytes(digest[:8], "big") / 2**64
        expected = 0 if place < 0.5 else 1 if place < 0.8 else 2
        assert division.variant(draw(identifier, "salt", user)) == expected


def test_traffic_is_a_share_of_users_and_does_not_lean() -> None:
    division = cut(Weights(1, 0.0, (1, 1), traffic=0.1))
    counts = Counter(division.variant(draw(UUID(int=7), "s", user)) for user in USERS)
    assert abs(counts[OUTSIDE] / len(USERS) - 0.9) < 0.005
    assert abs(counts[0] / (counts[0] + counts[1]) - 0.5) < 0.02


def test_experiments_and_buckets_are_independent() -> None:
    """Who is in one experiment's `a` is in another's by chance only, and in any bucket."""
    division = cut(Weights(1, 0.0, (1, 1)))
    pairs: Counter[tuple[int, int]] = Counter()
    buckets: Counter[tuple[int, int]] = Counter()
    for user in USERS[:20_000]:
        one, other = draw(UUID(int=7), "s", user), draw(UUID(int=8), "t", user)
        pairs[division.variant(one), division.variant(other)] += 1
        buckets[division.variant(one), bucket_of(one)] += 1
    assert all(abs(n / 20_000 - 0.25) < 0.015 for n in pairs.values())
    expected = 20_000 / (2 * BUCKETS)
    chi_square = sum((n - expected) ** 2 / expected for n in buckets.values())
    assert len(buckets) == 2 * BUCKETS and chi_square_tail(chi_square, 2 * BUCKETS - 1) > 0.001


def test_edges_of_the_range() -> None:
    """A variant without weight gets nobody, not even by rounding; traffic 0 nobody at all."""
    lowest, highest = bytes(32), b"\xff" * 32
    assert cut(Weights(1, 0.0, (1, 1, 0))).variant(highest) == 1
    assert cut(Weights(1, 0.0, (0, 1))).variant(lowest) == 1
    assert cut(Weights(1, 0.0, (0.1, 0.2, 0.7))).variant(highest) == 2
    assert cut(Weights(1, 0.0, (1,), traffic=1.0)).variant(highest) == 0
    assert cut(Weights(1, 0.0, (1,), traffic=0.0)).variant(lowest) == OUTSIDE
    for shares in ((0, 0), (1, -1), (-1, 3)):
        with pytest.raises(ValueError, match="weights"):
            cut(Weights(1, 0.0, shares))


async def test_a_changed_salt_or_id_draws_anew() -> None:
    experiment = experiment_with(1, 1, id=UUID(int=7))
    one, other = await assigned(experiment), await assigned(replace(experiment, salt="other"))
    assert 0.49 < sum(a == b for a, b in zip(one, other, strict=True)) / len(one) < 0.51
