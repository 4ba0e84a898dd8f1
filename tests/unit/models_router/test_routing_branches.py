"""Every branch of flow 5: experiment, strategy, health, budget, call, fallback, metadata."""

import asyncio
from contextlib import aclosing
from dataclasses import replace
from uuid import UUID

import pytest

from tests.fakes.virtual_time import virtual_time
from tests.unit.models_router.router_rig import DONE, TENANT, Rig, asked
from voicehelper.config import ModelSettings
from voicehelper.context import RequestContext, use_context
from voicehelper.errors import (
    BrokenStream,
    BudgetExceeded,
    ContentFiltered,
    ContextTooLong,
    DeadlineExceeded,
    InvalidInput,
    ModelSilent,
    ModelUnavailable,
    Overloaded,
    UnknownModel,
)
from voicehelper.models.model import Assignment, Price
from voicehelper.ports.chat import ChatDelta, ChatMessage, ChatProgress, ChatToolDelta, ChatUsage, Tool

DEAR, CHEAP = Price(10_000_000, 10_000_000), Price(1_000_000, 1_000_000)
DOWN = (ModelUnavailable(),)
TOOL = Tool("f")


@virtual_time
async def test_a_named_model_answers_and_says_so():
    rig = Rig()
    rig.add("m", ("你", "好", DONE))
    answer = await rig.ask("m")
    assert answer.text == "你好"
    assert (answer.done.model, answer.done.usage, answer.done.finish_reason) == ("m", ChatUsage(100, 50), "stop")
    route = answer.done.route
    assert (route.provider, route.strategy, route.cost_micros, route.warnings) == ("openai", "named", 150, ())
    assert answer.tried == [("m", "answered")]
    assert rig.budgets.ends == [("m", "answered", 150)]
    assert rig.breakers.reports == [(rig.catalogue["m"].id, True)]
    reservation = next(iter(rig.budgets.reserved.values()))
    assert reservation.caller == type(reservation.caller)(TENANT, "user-1", "key-1", "")


@virtual_time
async def test_without_a_name_the_own_model_answers_and_is_paid_nothing():
    rig = Rig()
    rig.add("dear", price=DEAR, quality=5)
    rig.add_local()
    answer = await rig.ask(feature="answer")
    assert (answer.text, answer.done.route.cost_micros) == ("I am own.", 0)
    assert next(iter(rig.budgets.reserved.values())).caller.feature == "answer"


@virtual_time
async def test_another_default_can_be_set_and_is_overlooked_where_a_tenant_has_it_not():
    rig = Rig(settings=ModelSettings(default_model="m"))
    rig.add_local()
    assert (await rig.ask()).done.model == "own"
    rig.add("m")
    assert (await rig.ask()).done.model == "m"
    rig.settings = ModelSettings(default_model="auto:cheapest")
    assert (await rig.ask()).done.model == "own"


@virtual_time
async def test_outside_any_tenant_the_own_model_is_asked_directly():
    rig = Rig()
    rig.add_local()
    events = [event async for event in rig.router.stream(asked())]
    assert (events[-1].route, rig.budgets.reserved) == (None, {})


@virtual_time
async def test_strategies_choose():
    rig = Rig()
    slow = rig.add("good", quality=5, price=DEAR, speed=5)
    rig.add("cheap", quality=2, price=CHEAP, speed=3)
    rig.add("mid", quality=3, price=Price(5_000_000, 5_000_000), speed=4)
    assert (await rig.ask("auto:cheapest")).done.model == "cheap"
    assert (await rig.ask("auto:best_quality")).done.model == "good"
    assert (await rig.ask("auto:fastest")).done.model == "good"  # by its class
    rig.latencies.p95[slow.id] = 3000.0
    assert (await rig.ask("auto:fastest")).done.model == "mid"  # by what was measured
    rig.settings = ModelSettings(strategy="cheapest")
    auto = await rig.ask("auto")
    assert (auto.done.model, auto.done.route.strategy) == ("cheap", "cheapest")


@virtual_time
async def test_the_cheapest_is_that_of_this_very_request():
    rig = Rig()
    rig.add("reads", price=Price(1_000_000, 30_000_000))
    rig.add("writes", price=Price(20_000_000, 1_000_000))
    assert (await rig.ask("auto:cheapest", max_tokens=10)).done.model == "reads"
    assert (await rig.ask("auto:cheapest", max_tokens=2000)).done.model == "writes"


@virtual_time
async def test_unknown_names():
    rig = Rig()
    rig.add("m")
    for name in ("n", "auto:nonsense", "M"):
        answer = await rig.ask(name)
        assert isinstance(answer.error, UnknownModel)
        assert answer.error.details["model"] == name
    assert rig.budgets.reserved == {}


@virtual_time
async def test_what_a_model_cannot_do_goes_to_one_that_can():
    rig = Rig()
    rig.add("plain", capabilities=frozenset({"stream"}), fallbacks=("able",))
    rig.add("able")
    rig.add("other", capabilities=frozenset({"stream"}))
    assert (await rig.ask("plain", tools=(TOOL,))).done.model == "able"
    assert (await rig.ask("plain", tools=(TOOL,), tool_choice="none")).done.model == "plain"
    assert (await rig.ask("plain", json_schema={})).done.model == "able"
    assert (await rig.ask("plain", json_object=True)).done.model == "able"
    assert (await rig.ask("plain", logprobs=0)).done.model == "able"
    seen = (ChatMessage("user", "?", images=("https://example.com/a.png",)),)
    assert (await rig.ask("plain", messages=seen)).done.model == "able"
    refused = await rig.ask("other", tools=(TOOL,))
    assert type(refused.error) is InvalidInput
    assert "tools" in refused.error.message


@virtual_time
async def test_output_is_clipped_to_what_the_model_can_give():
    rig = Rig()
    rig.add("m", max_output_tokens=64)
    await rig.ask("m", max_tokens=500)
    assert rig.models["m"].requests[0].max_tokens == 64


@virtual_time
async def test_a_prompt_too_long_for_one_goes_to_a_longer_one():
    rig = Rig()
    rig.add("short", context_tokens=1000, quality=5)
    rig.add("long", context_tokens=100_000, quality=1)
    messages = (ChatMessage("user", "问" * 3000),)
    assert (await rig.ask("auto:best_quality", messages=messages)).done.model == "long"
    refused = await rig.ask("short", messages=messages)
    assert isinstance(refused.error, ContextTooLong)
    rig.add("said", (ContextTooLong(),), fallbacks=("long",))
    answer = await rig.ask("said")
    assert answer.tried == [("said", "40006"), ("long", "answered")]
    assert rig.breakers.reports[-1] == (rig.catalogue["long"].id, True)
    assert (rig.catalogue["said"].id, False) not in rig.breakers.reports


@virtual_time
async def test_a_model_that_is_out_is_not_asked():
    rig = Rig()
    out = rig.add("m", fallbacks=("n",))
    rig.add("n")
    rig.breakers.waits[out.id] = 12.0
    answer = await rig.ask("m")
    assert answer.tried == [("m", "skipped"), ("n", "answered")]
    assert answer.done.route.attempts[0].reason == "open"
    assert (await rig.ask("auto")).tried == [("n", "answered")]
    rig.breakers.waits[rig.catalogue["n"].id] = 7.0
    refused = await rig.ask("m")
    assert isinstance(refused.error, ModelUnavailable)
    assert refused.error.retry_after == 7.0
    assert not rig.models["m"].requests


@virtual_time
async def test_the_own_model_is_asked_last_but_asked():
    rig = Rig()
    own = rig.add_local(quality=5)
    rig.add("n", quality=1)
    rig.breakers.waits[own.id] = 12.0
    assert (await rig.ask("auto:best_quality")).done.model == "n"
    assert (await rig.ask()).done.model == "own"


@virtual_time
async def test_who_gets_no_trial_goes_on():
    rig = Rig()
    half = rig.add("m", fallbacks=("n",))
    rig.add("n")
    rig.breakers.refused = {half.id}
    answer = await rig.ask("m")
    assert answer.tried == [("m", "skipped"), ("n", "answered")]


@virtual_time
@pytest.mark.parametrize(
    "error",
    [ModelUnavailable(), ModelSilent(), BrokenStream(), Overloaded(retry_after=30.0)],
    ids=lambda e: str(e.code),
)
async def test_a_failing_model_is_replaced_unseen(error):
    rig = Rig()
    m = rig.add("m", (error,), fallbacks=("n",))
    rig.add("n")
    answer = await rig.ask("m", deadline=30.0)
    assert answer.tried == [("m", str(error.code)), ("n", "answered")]
    assert answer.text == "I am n."
    assert rig.budgets.ends == [("m", str(error.code), 0), ("n", "answered", 150)]
    if isinstance(error, Overloaded):
        assert rig.breakers.cooled == [(m.id, 30.0)]
    else:
        assert (m.id, False) in rig.breakers.reports


@virtual_time
async def test_fallbacks_are_tried_in_order_and_others_only_for_auto():
    rig = Rig()
    rig.add("m", DOWN, fallbacks=("b", "a"))
    rig.add("a", DOWN)
    rig.add("b", DOWN)
    rig.add("c", quality=1)
    failed = await rig.ask("m")
    assert isinstance(failed.error, ModelUnavailable)
    assert [tried["model"] for tried in failed.error.details["tried"]] == ["m", "b", "a", "m"]
    assert (await rig.ask("auto")).done.model == "c"


@virtual_time
async def test_a_model_without_a_key_is_passed_over():
    rig = Rig()
    rig.add("m", fallbacks=("n",))
    rig.add("n")
    del rig.models["m"]
    assert (await rig.ask("m")).tried == [("m", "50302"), ("n", "answered")]


@virtual_time
@pytest.mark.parametrize("error", [InvalidInput(), ContentFiltered()], ids=lambda e: str(e.code))
async def test_the_callers_own_errors_are_told_at_once_and_blame_nobody(error):
    rig = Rig()
    rig.add("m", (error,), fallbacks=("n",))
    rig.add("n")
    answer = await rig.ask("m")
    assert type(answer.error) is type(error)
    assert (rig.breakers.reports, rig.models["n"].requests) == ([], [])
    assert rig.budgets.ends == [("m", str(error.code), 0)]


@virtual_time
async def test_what_one_provider_refuses_to_read_may_go_to_the_next_where_so_set():
    rig = Rig(settings=ModelSettings(after_filter="next"))
    rig.add("m", (ContentFiltered(),), fallbacks=("n",))
    rig.add("n")
    assert (await rig.ask("m")).done.model == "n"


@virtual_time
async def test_the_only_model_is_asked_again_with_growing_waits():
    rig = Rig()
    rig.add("m", DOWN, DOWN, ("好", DONE))
    answer = await rig.ask("m", deadline=10.0)
    assert answer.tried == [("m", "50302"), ("m", "50302"), ("m", "answered")]
    assert answer.seconds == pytest.approx(0.2 + 0.4)


@virtual_time
async def test_a_busy_model_is_waited_for_if_it_says_so_and_it_is_short():
    rig = Rig(spread=0.0)
    rig.add("m", (Overloaded(retry_after=1.5),), ("好", DONE))
    answer = await rig.ask("m", deadline=10.0)
    assert answer.text == "好"
    assert answer.seconds == pytest.approx(1.5)
    rig.add("long", (Overloaded(retry_after=20.0),))
    refused = await rig.ask("long", deadline=10.0)
    assert isinstance(refused.error, Overloaded)
    assert refused.error.retry_after == 20.0
    rig.add("late", (Overloaded(retry_after=1.5),))
    assert isinstance((await rig.ask("late", deadline=1.0)).error, Overloaded)


@virtual_time
async def test_a_queue_of_ours_that_is_full_cools_nobody():
    rig = Rig()
    rig.add("m", (Overloaded("full", {"queue": "full"}, 4.0),), fallbacks=("n",))
    rig.add("n")
    assert (await rig.ask("m")).tried == [("m", "42902"), ("n", "answered")]
    assert (rig.breakers.cooled, rig.breakers.reports[:-1]) == ([], [])


@virtual_time
async def test_calls_are_counted():
    rig = Rig(settings=ModelSettings(attempts=2))
    rig.add("m", DOWN)
    answer = await rig.ask("m")
    assert len(rig.models["m"].requests) == 2
    assert isinstance(answer.error, ModelUnavailable)


@virtual_time
async def test_no_model_may_spend_all_the_time():
    rig = Rig()
    m = rig.add("m", (1000.0, "zu spät"), fallbacks=("n",))
    rig.add("n")
    answer = await rig.ask("m", deadline=30.0)
    assert answer.tried == [("m", "50304"), ("n", "answered")]
    assert answer.seconds == pytest.approx(15.0)
    rig.latencies.p95[m.id] = 400.0
    start = answer.seconds
    assert (await rig.ask("m", deadline=60.0)).seconds - start == pytest.approx(10.0)
    assert rig.models["m"].open == 0
    assert rig.breakers.reports.count((m.id, False)) == 2


@virtual_time
async def test_who_is_in_a_hurry_blames_nobody():
    rig = Rig()
    rig.add("m", (3.0, "spät", DONE), fallbacks=("n",))
    rig.add("n")
    answer = await rig.ask("m", deadline=4.0)
    assert answer.tried == [("m", "50304"), ("n", "answered")]
    assert rig.breakers.reports == [(rig.catalogue["n"].id, True)]
    await rig.ask("m", deadline=0.0)
    assert (rig.catalogue["m"].id, False) not in rig.breakers.reports


@virtual_time
async def test_a_deadline_is_the_models_fault_only_if_it_was_silent():
    rig = Rig()
    m = rig.add(
        "m", (2.0, DeadlineExceeded()), (12.0, DeadlineExceeded()), (9.0, ChatProgress(), 9.0, DeadlineExceeded())
    )
    assert isinstance((await rig.ask("m")).error, DeadlineExceeded)
    assert rig.breakers.reports == []
    await rig.ask("m")
    assert rig.breakers.reports == [(m.id, False)]
    await rig.ask("m")
    assert rig.breakers.reports == [(m.id, False)]


@virtual_time
async def test_signs_of_life_pass():
    rig = Rig()
    rig.add("m", (ChatProgress(), "好", DONE), fallbacks=("n",))
    rig.add("n")
    assert isinstance((await rig.ask("m", deadline=9.0)).events[0], ChatProgress)


@virtual_time
async def test_a_crash_is_settled_and_told():
    rig = Rig()
    m = rig.add("m", ("好", KeyError("x")))
    answer = await rig.ask("m")
    assert isinstance(answer.error, KeyError)
    assert rig.budgets.ends == [("m", "broken", 101)]
    assert rig.breakers.reports == [(m.id, False)]


@virtual_time
async def test_a_stream_that_just_ends_is_no_answer():
    rig = Rig()
    rig.add("m", (), fallbacks=("n",))
    rig.add("n")
    assert (await rig.ask("m")).tried == [("m", "50302"), ("n", "answered")]


@virtual_time
async def test_usage_is_estimated_where_the_provider_does_not_say():
    rig = Rig()
    rig.add("m", ("好好好", replace(DONE, usage=ChatUsage())))
    answer = await rig.ask("m")
    assert answer.done.usage == ChatUsage(100, 3)
    (settlement,) = next(iter(rig.budgets.settled.values()))
    assert (settlement.estimated, settlement.cost_micros) == (True, 103)


@virtual_time
async def test_a_variant_answers_and_is_named():
    rig = Rig()
    rig.add("m")
    rig.add("v", quality=1)
    rig.experiments.assignment = Assignment(UUID(int=1), "exp", "b", ("v",), {"temperature": 0.7, "nonsense": 1})
    answer = await rig.ask("m")
    route = answer.done.route
    assert (answer.done.model, route.experiment, route.variant) == ("v", "exp", "b")
    assert rig.models["v"].requests[0].temperature == 0.7
    assert [outcome.variant for outcome in rig.experiments.outcomes] == ["b"]


@virtual_time
async def test_a_variant_that_fails_costs_nobody_his_answer():
    rig = Rig()
    rig.add("m")
    rig.add("v", DOWN)
    rig.experiments.assignment = Assignment(UUID(int=1), "exp", "b", ("v", "gone"))
    answer = await rig.ask("m")
    assert answer.tried == [("gone", "skipped"), ("v", "50302"), ("m", "answered")]
    assert [outcome.outcome for outcome in rig.experiments.outcomes] == ["50302"]


@virtual_time
async def test_over_the_soft_limit_a_cheaper_model_answers_in_fewer_tokens():
    rig = Rig()
    rig.budgets.soft_from = 0
    rig.add("dear", price=DEAR)
    rig.add("cheap", price=CHEAP)
    router = rig.router
    for _ in range(2):  # the second time it is known before
        with use_context(RequestContext(str(TENANT), "user-1")):
            *_, done = [event async for event in router.stream(asked("dear"))]
        assert done.model == "cheap"
        assert set(done.route.warnings) == {"budget_soft_limit", "cheaper_model", "fewer_tokens"}
    assert rig.models["cheap"].requests[0].max_tokens == 100
    assert [end[:2] for end in rig.budgets.ends] == [("dear", "released"), ("cheap", "answered"), ("cheap", "answered")]
    rig.budgets.check()


@virtual_time
async def test_over_the_soft_limit_the_cheapest_answers_in_fewer_tokens():
    rig = Rig()
    rig.budgets.soft_from = 0
    rig.add("m")
    answer = await rig.ask("m")
    assert set(answer.warnings) == {"budget_soft_limit", "fewer_tokens"}
    assert rig.models["m"].requests[0].max_tokens == 100
    assert (await rig.ask("m", json_object=True)).warnings == ("budget_soft_limit",)
    assert rig.models["m"].requests[1].max_tokens == 200
    rig.budgets.check()


@virtual_time
async def test_what_cannot_be_paid_goes_to_what_can():
    rig = Rig()
    rig.budgets.left = 700
    rig.add("dear", price=DEAR, fallbacks=("dearer", "cheap"))
    rig.add("dearer", price=Price(20_000_000, 20_000_000))
    rig.add("cheap", price=CHEAP)
    answer = await rig.ask("dear")
    assert answer.tried == [("dear", "skipped"), ("cheap", "answered")]
    rig.budgets.left = 5
    refused = await rig.ask("dear")
    assert isinstance(refused.error, BudgetExceeded)
    assert not rig.models["dear"].requests


@virtual_time
async def test_a_broken_answer_is_finished_by_another():
    rig = Rig()
    rig.add("m", ("春眠不觉晓，处处", BrokenStream()), fallbacks=("n", "p"))
    rig.add("n", ("觉晓，处", "处闻啼鸟。", DONE))
    rig.add("p", ("闻啼鸟。", DONE), capabilities=frozenset({"stream", "continue"}))
    answer = await rig.ask("m")
    assert answer.text == "春眠不觉晓，处处闻啼鸟。"
    assert answer.tried == [("m", "broken"), ("p", "answered")]
    assert answer.warnings == ("continued_elsewhere",)
    assert rig.models["p"].requests[0].messages[-1] == ChatMessage("assistant", "春眠不觉晓，处处")
    assert rig.models["p"].requests[0].max_tokens == 200 - 8
    assert answer.done.route.cost_micros == 108 + 150
    assert answer.done.usage == ChatUsage(200, 58)
    rig.models["p"].scripts = [DOWN]
    answer = await rig.ask("m")
    assert answer.text == "春眠不觉晓，处处闻啼鸟。"
    assert answer.tried == [("m", "broken"), ("p", "50302"), ("n", "answered")]
    assert [message.role for message in rig.models["n"].requests[0].messages] == ["user", "assistant", "user"]
    rig.budgets.check()


@virtual_time
async def test_a_broken_answer_that_nobody_finishes_is_told_as_broken():
    rig = Rig(settings=ModelSettings(attempts=3))
    rig.add("m", ("春眠", ModelUnavailable()), fallbacks=("n",))
    rig.add("n", DOWN)
    answer = await rig.ask("m")
    assert (answer.text, type(answer.error)) == ("春眠", BrokenStream)
    assert [tried["outcome"] for tried in answer.error.details["tried"]] == ["broken", "50302", "broken"]
    rig.budgets.check()


@virtual_time
@pytest.mark.parametrize(
    ("script", "request_"),
    [
        (("春", BrokenStream()), {"json_object": True}),
        (("春", BrokenStream()), {"json_schema": {}}),
        (("春", BrokenStream()), {"logprobs": 0}),
        ((ChatToolDelta(0, "1", "f"), BrokenStream()), {"tools": (TOOL,)}),
    ],
)
async def test_answers_with_a_form_are_not_continued(script, request_):
    rig = Rig()
    rig.add("m", script, fallbacks=("n",))
    rig.add("n")
    answer = await rig.ask("m", **request_)
    assert isinstance(answer.error, BrokenStream)
    assert not rig.models["n"].requests


@virtual_time
async def test_breaks_are_told_where_so_set():
    rig = Rig(settings=ModelSettings(after_break="error"))
    rig.add("m", ("春", ModelUnavailable()), fallbacks=("n",))
    rig.add("n")
    answer = await rig.ask("m")
    assert (answer.text, type(answer.error)) == ("春", BrokenStream)


@virtual_time
async def test_a_late_first_piece_is_hedged():
    rig = Rig(settings=ModelSettings(hedge=True))
    m = rig.add("m", (5.0, "zu spät", DONE), fallbacks=("n",))
    rig.add("n", (0.1, "rechtzeitig", DONE))
    rig.latencies.p95[m.id] = 500.0
    answer = await rig.ask("m")
    assert answer.text == "rechtzeitig"
    assert answer.seconds == pytest.approx(0.6)
    assert answer.warnings == ("hedged",)
    assert sorted(answer.tried) == [("m", "cancelled"), ("n", "answered")]
    assert (rig.models["m"].open, rig.models["n"].open) == (0, 0)
    rig.budgets.check()


@virtual_time
async def test_the_hedged_may_still_be_first_and_either_may_fail():
    rig = Rig(settings=ModelSettings(hedge=True))
    m = rig.add("m", (0.6, "doch", DONE), (0.6, ModelUnavailable()), (0.6, "doch", DONE), fallbacks=("n",))
    rig.add("n", (5.0, "spät", DONE), (5.0, "spät", DONE), DOWN)
    rig.latencies.p95[m.id] = 500.0
    answers = [await rig.ask("m") for _ in range(3)]
    assert [answer.text for answer in answers] == ["doch", "spät", "doch"]
    assert sorted(answers[0].tried) == [("m", "answered"), ("n", "cancelled")]
    assert answers[1].tried == [("m", "50302"), ("n", "answered")]
    assert sorted(answers[2].tried) == [("m", "answered"), ("n", "50302")]
    rig.budgets.check()


@virtual_time
async def test_no_second_model_is_asked_in_time():
    rig = Rig(settings=ModelSettings(hedge=True))
    m = rig.add("m", (0.1, "gleich", DONE), fallbacks=("n",))
    rig.add("n")
    rig.latencies.p95[m.id] = 500.0
    answer = await rig.ask("m")
    assert (answer.text, answer.warnings, rig.models["n"].requests) == ("gleich", (), [])


@virtual_time
async def test_who_stops_listening_pays_for_what_was_said():
    rig = Rig()
    m = rig.add("m", ("春", "眠", 10.0, "不", DONE))
    with use_context(RequestContext(str(TENANT))):
        async with aclosing(rig.router.stream(asked("m"))) as events:
            assert [(await anext(events)), (await anext(events))] == [ChatDelta("春"), ChatDelta("眠")]
    assert rig.budgets.ends == [("m", "cancelled", 102)]
    assert rig.breakers.reports == [(m.id, True)]
    assert rig.models["m"].open == 0


@virtual_time
async def test_a_cancelled_wait_calls_nobody():
    rig = Rig()
    rig.add("m", DOWN)
    task = asyncio.create_task(rig.ask("m"))
    await asyncio.sleep(0.1)
    task.cancel()
    await asyncio.wait([task])
    assert len(rig.models["m"].requests) == 1
    rig.budgets.check()
