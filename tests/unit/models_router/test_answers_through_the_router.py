"""Answers and their metadata, with a router between the answerer and the models; RAG goes on as before."""

from uuid import uuid4

from tests.fakes.retriever import FakeRetriever, passage
from tests.fakes.virtual_time import virtual_time
from tests.unit.models_router.router_rig import DONE, TENANT, Rig
from voicehelper.config import ModelSettings
from voicehelper.context import RequestContext, use_context
from voicehelper.conversations.draft import Draft
from voicehelper.errors import BrokenStream, ModelUnavailable
from voicehelper.rag.answerer import Answerer
from voicehelper.rag.events import AnswerDelta, AnswerDone, AnswerEvent, Question

FACT = "退款在七天内到账。"


def answerer(rig: Rig, *, reads_ahead: bool = True) -> Answerer:
    return Answerer(FakeRetriever([passage(FACT)]), rig.router, reads_ahead=reads_ahead)


async def answered(rig: Rig) -> list[AnswerEvent]:
    with use_context(RequestContext(str(TENANT), "user-1")):
        question = Question("退款多久到账？", TENANT, (uuid4(),))
        return [event async for event in answerer(rig).answer(question)]


def stored(events: list[AnswerEvent]) -> dict[str, object]:
    draft = Draft(uuid4())
    for event in events:
        list(draft.take(event))
    return draft.completed().metadata


@virtual_time
async def test_an_answer_says_which_model_gave_it():
    rig = Rig()
    rig.add_local(("退款在七天", "内到账。", DONE))
    events = await answered(rig)
    metadata = stored(events)
    assert metadata["model"] == "own"
    assert metadata["route"] == {"provider": "local", "strategy": "named"}
    (reservation,) = rig.budgets.reserved.values()
    assert (reservation.caller.feature, reservation.caller.user_id) == ("answer", "user-1")


@virtual_time
async def test_an_answer_whose_model_fails_is_given_by_another_and_says_so():
    rig = Rig(settings=ModelSettings(default_model="m"))
    rig.add_local()
    rig.add("m", (ModelUnavailable(),), fallbacks=("n",))
    rig.add("n", ("退款在七天", BrokenStream()), (FACT, DONE), fallbacks=())
    events = await answered(rig)
    assert "".join(event.text for event in events if isinstance(event, AnswerDelta)).startswith("退款在七天")
    done = events[-1]
    assert isinstance(done, AnswerDone)
    assert done.route is not None
    route = stored(events)["route"]
    assert isinstance(route, dict)
    assert route["tried"] == [["m", "50302"], ["n", "broken"], *route["tried"][2:]]
    assert route["warnings"] == ["continued_elsewhere"]
    assert route["cost_micros"] > 0


@virtual_time
async def test_prompts_are_read_ahead_by_the_own_model_only():
    rig = Rig()
    rig.add_local(("p", DONE))
    question = Question("退款多久到账？", TENANT, (uuid4(),))
    with use_context(RequestContext(str(TENANT), "user-1")):
        await answerer(rig, reads_ahead=False).prepare(question)
        assert rig.models["own"].requests == []
        await answerer(rig).prepare(question)
    (request,) = rig.models["own"].requests
    assert (request.max_tokens, request.feature) == (1, "ahead")
