from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicehelper.retrieval.fusion import reciprocal_rank, weighted

A, B, C = UUID(int=1), UUID(int=2), UUID(int=3)
ids = st.integers(1, 8).map(lambda number: UUID(int=number))
scores = st.dictionaries(ids, st.floats(0, 1), max_size=8)
engine = st.none() | scores


def test_the_share_of_each_score() -> None:
    fused = weighted(0.6, 0.05)({A: 1.0, B: 0.95}, {A: 0.5, B: 1.0})
    assert fused[A] == pytest.approx(0.6 + 0.4 * 0.5)
    assert fused[B] == pytest.approx(0.6 * 0.36788 + 0.4, abs=1e-4)
    assert list(fused) == [A, B]


def test_a_score_does_not_depend_on_rivals() -> None:
    policy = weighted(0.5, 0.05)
    alone = policy({A: 0.9}, {A: 0.3})[A]
    assert policy({A: 0.9, B: 0.99, C: 0.2}, {A: 0.3, C: 1.0})[A] == alone


def test_keyword_coverage_decides_between_equally_near_passages() -> None:
    assert next(iter(weighted(0.5, 0.05)({A: 0.9, B: 0.9}, {B: 0.4}))) == B


def test_vectors_decide_where_no_word_matches() -> None:
    assert list(weighted(0.5, 0.05)({A: 0.8, B: 0.9}, {})) == [B, A]


@pytest.mark.parametrize("policy", [weighted(0.55, 0.05), reciprocal_rank()])
def test_one_engine_alone_keeps_its_order(policy) -> None:
    assert list(policy({A: 0.8, B: 0.9}, None)) == [B, A]
    assert list(policy(None, {A: 0.8, B: 0.9})) == [B, A]


def test_rank_fusion_prefers_what_both_found() -> None:
    assert next(iter(reciprocal_rank()({A: 0.9, B: 0.8}, {C: 9.0, B: 7.0}))) == B


@given(engine, engine, st.floats(0, 1), st.floats(0.01, 1))
def test_every_chunk_once_best_first_within_bounds(dense, keyword, weight, temperature) -> None:
    fused = weighted(weight, temperature)(dense, keyword)
    assert fused.keys() == (dense or {}).keys() | (keyword or {}).keys()
    values = list(fused.values())
    assert values == sorted(values, reverse=True)
    assert all(0 <= value <= 1 for value in values)


@given(scores, scores)
def test_the_order_does_not_depend_on_the_order_of_hits(dense, keyword) -> None:
    policy = weighted(0.5, 0.05)
    flipped = policy(dict(reversed(dense.items())), dict(reversed(keyword.items())))
    assert list(policy(dense, keyword)) == list(flipped)
