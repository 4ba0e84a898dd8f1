"""Limits that hold, months at their ends, prices at their worst, and comparing books: no engine is asked."""

import json
import unicodedata
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicehelper.ids import new_id
from voicehelper.models.budgets import Budget, Limits, by_tenant, month_of, month_span, months_before, subjects_of
from voicehelper.models.ledger import decode, encode, entry_of
from voicehelper.models.model import Caller, ModelEntry, Price, Reservation, Settlement
from voicehelper.models.reconcile import compare, nameless
from voicehelper.models.worst_case import most_completion_tokens, most_prompt_tokens, most_text_tokens, most_tokens
from voicehelper.ports.chat import ChatMessage, ChatRequest, ChatUsage, Tool, ToolCall

TENANT, USER, KEY = new_id(), new_id(), new_id()
ENTRY = ModelEntry(new_id(), "m", "openai", price=Price(3_000_001, 15_000_007, 300_000, 11))


def us(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1_000_000


def test_a_month_begins_and_ends_in_utc() -> None:
    assert month_of(us("2026-11-30T23:59:59") + 999_999) == "202611"
    assert month_of(us("2026-12-01T00:00:00")) == "202612"
    assert month_of(us("2024-02-29T12:00:00")) == "202402"
    assert month_span("202612") == (datetime(2026, 12, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC))
    assert month_span("202601")[1] == datetime(2026, 2, 1, tzinfo=UTC)
    assert (months_before("202601", 1), months_before("202603", 3), months_before("202612", 3)) == (
        "202512",
        "202512",
        "202609",
    )


@given(st.integers(us("2000-01-01T00:00:00"), us("2199-12-31T00:00:00")))
def test_every_moment_lies_in_its_month(at_us: int) -> None:
    start, end = month_span(month_of(at_us))
    assert start.timestamp() * 1e6 <= at_us < end.timestamp() * 1e6


@given(st.integers(us("2000-01-01T00:00:00"), us("2105-12-31T00:00:00")))  # 2**32 s are in 2106
def test_a_reservations_time_keeps_its_microsecond(at_us: int) -> None:
    """It travels as seconds in a float; half a microsecond would be another month."""
    assert round(at_us / 1_000_000 * 1_000_000) == at_us


def test_an_own_limit_comes_before_everybodys() -> None:
    everybody, own, of_keys, of_all = Limits(hard=5), Limits(hard=9, soft=3), Limits(tokens=10), Limits(hard=100)
    rows = [("tenant", None, of_all), ("user", None, everybody), ("user", USER, own), ("key", None, of_keys)]
    limits = by_tenant([Budget(new_id(), TENANT, kind, subject, limit) for kind, subject, limit in rows])[TENANT]
    assert limits.of(Caller(TENANT, str(USER), str(KEY))) == (of_all, own, of_keys)
    assert limits.of(Caller(TENANT, str(new_id()))) == (of_all, everybody, Limits())
    assert limits.of(Caller(TENANT)) == (of_all, Limits(), Limits())
    assert not Limits() and Limits(hard=0) and Limits(tokens=1)


def test_subjects_of_nobody_count_too() -> None:
    assert subjects_of(Caller(TENANT)) == ("t", "u:", "k:")
    assert subjects_of(Caller(TENANT, "a", "b")) == ("t", "u:a", "k:b")


@given(st.text(), st.integers(1, 10_000), st.integers(0, 10**6), st.integers(0, 10**6), st.integers(0, 10**6))
def test_no_bill_is_above_what_was_reserved(text: str, wanted: int, prompt: int, said: int, cached: int) -> None:
    """A tokenizer that makes a token of every byte, and a model that says all it may."""
    request = ChatRequest((ChatMessage("user", text),), max_tokens=wanted)
    most = most_tokens(request, ENTRY)
    bytes_read = len(unicodedata.normalize("NFC", text).encode("utf-8", "surrogatepass"))
    assert bytes_read < most[0]
    usage = ChatUsage(min(prompt, most[0]), min(said, most[1]), cached)
    assert 0 < ENTRY.price.cost(usage) <= ENTRY.price.most(*most)


def test_a_text_that_grows_in_form_c_is_counted_grown() -> None:
    assert most_text_tokens(["\u0958" * 100]) >= len(unicodedata.normalize("NFC", "\u0958" * 100).encode()) == 600


def test_everything_that_is_sent_counts() -> None:
    plain = ChatRequest((ChatMessage("user", "hi"),))
    base = most_prompt_tokens(plain, ENTRY)
    schema = {"type": "object", "properties": {"城市": {"type": "string", "description": "城市" * 50}}}
    tooled = ChatRequest(plain.messages, tools=(Tool("天气", "查询" * 20, schema),))
    assert most_prompt_tokens(tooled, ENTRY) - base > len(json.dumps(schema, indent=4))
    formed = ChatRequest(plain.messages, json_schema=schema)
    assert most_prompt_tokens(formed, ENTRY) - base > len(json.dumps(schema, indent=4))
    shown = ChatRequest((ChatMessage("user", "hi", images=("https://x/1", "https://x/2")),))
    assert most_prompt_tokens(shown, ENTRY) - base == 100_000
    assert most_prompt_tokens(shown, ModelEntry(new_id(), "m", "x", options={"image_tokens": 7})) - base == 14
    call = ToolCall("call_1", "f", '{"a": "' + "x" * 500 + '"}')
    called = ChatRequest((*plain.messages, ChatMessage("assistant", "", tool_calls=(call,))))
    assert most_prompt_tokens(called, ENTRY) - base > 500


def test_thinking_that_max_tokens_does_not_bound_is_added() -> None:
    thinking = ModelEntry(new_id(), "q", "qwen", context_tokens=30_000, options={"enable_thinking": True})
    bounded = ModelEntry(new_id(), "q", "qwen", options={"enable_thinking": True, "thinking_budget": 500})
    assert [most_completion_tokens(100, entry) for entry in (ENTRY, thinking, bounded)] == [100, 30_100, 600]


def test_an_entry_survives_its_way() -> None:
    reservation = Reservation(
        new_id(), Caller(TENANT, str(USER), "", "api"), "模型", "p", 10, 5, False, 1_793_491_199.9
    )
    settlement = Settlement(ChatUsage(1, 2, 1, 1), 7, "answered", 12.5, None, True, "e", "v")
    entry = entry_of(reservation, settlement)
    assert decode(encode(entry).encode()) == entry
    assert decode(encode(entry)[:-1].encode() + b',"of_tomorrow":1}') == entry
    assert entry.month == "202610"


def test_what_no_store_could_keep_is_left_out() -> None:
    odd = Reservation(new_id(), Caller(TENANT, "not an id", "\0", "a\0b"), "m" * 999, "p", 1, 1, False, 1.0)
    entry = entry_of(odd, Settlement(ChatUsage(-5, 3), -1, "x\0", 1.0))
    assert (entry.user_id, entry.key_id, entry.feature, entry.outcome) == ("", "", "ab", "x")
    assert (entry.prompt_tokens, entry.cost_micros, len(entry.model)) == (0, 0, 200)


def test_books_are_compared_subject_by_subject() -> None:
    ledger, stream = {"t": 10, "u:": 4, "u:a": 6, "k:": 10}, {"t": 5, "u:a": 5, "k:": 5}
    good = {"t": 15, "u:": 4, "u:a": 11, "k:": 15}
    assert compare(TENANT, "202611", ledger, stream, good).right
    wrong = compare(TENANT, "202611", ledger, stream, good | {"t": 16, "u:b": 1})
    assert (wrong.difference, dict(wrong.wrong)) == (1, {"t": -1, "u:b": -1})
    assert compare(TENANT, "202611", ledger, stream, None).right
    moved = compare(TENANT, "202611", ledger, stream, good | {"u:": 5, "u:a": 10})
    assert (moved.difference, moved.right) == (0, False)


def test_the_erased_count_as_nobody() -> None:
    assert nameless({"t": 3, "u:": 1, "u:a": 2, "k:b": 3}, {"u:a", "k:b"}) == {"t": 3, "u:": 3, "k:": 3}


@pytest.mark.parametrize("price", [Price(), Price(per_call=3), Price(1, 1), Price(cached=9_000_000)])
def test_the_worst_price_is_the_worst(price: Price) -> None:
    for usage in (ChatUsage(100, 50), ChatUsage(100, 50, 100), ChatUsage(100, 0, 40), ChatUsage()):
        assert price.cost(usage) <= price.most(100, 50)
