"""The scheduler over a fake recogniser whose calls end when the test says so."""

import asyncio
import threading

import pytest

from actors.stt.scheduler import BatchedSpeechToText
from voicehelper.context import RequestContext, use_context
from voicehelper.errors import DeadlineExceeded, InvalidInput, ModelUnavailable, Overloaded
from voicehelper.ports.speech import INPUT_RATE, Recognition, SpeechToTextInfo, Transcript


class FakeRecognizer:
    """Says what it was asked; holds every call until `let` is called."""

    info = SpeechToTextInfo("fake", "fake", longest_s=30.0)

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.gate = threading.Semaphore(0)
        self.fails = False

    def window(self, request: Recognition) -> float:
        return 5.0

    def recognize(self, batch):
        self.batches.append([f"{r.stream}{'!' if r.final else '?'}" for r in batch])
        assert self.gate.acquire(timeout=10)
        if self.fails:
            raise RuntimeError("CUDA out of memory")
        return [Transcript(r.stream) for r in batch]

    def let(self, calls: int = 1) -> None:
        self.gate.release(calls)


@pytest.fixture
def fake():
    return FakeRecognizer()


@pytest.fixture
async def stt(fake):
    made = BatchedSpeechToText(fake, max_batch=4, queue=3, now=lambda: 0.0)
    yield made
    fake.let(100)
    await made.close()


def ask(stt, stream: str, final: bool = True) -> asyncio.Task[Transcript]:
    return asyncio.create_task(stt.transcribe(Recognition(bytes(32), stream, final)))


async def busy(stt, fake) -> asyncio.Task[Transcript]:
    """The model at work on something."""
    task = ask(stt, "first")
    while not fake.batches:  # noqa: ASYNC110 - the fake runs in a thread
        await asyncio.sleep(0)
    return task


async def test_what_comes_meanwhile_goes_together(stt, fake):
    first = await busy(stt, fake)
    others = [ask(stt, name) for name in "abc"]
    await asyncio.sleep(0)
    fake.let(2)
    assert [t.text for t in await asyncio.gather(first, *others)] == ["first", "a", "b", "c"]
    assert fake.batches == [["first!"], ["a!", "b!", "c!"]]


async def test_a_partial_gives_way_to_a_newer_one_and_says_so(stt, fake):
    first = await busy(stt, fake)
    old = ask(stt, "a", final=False)
    await asyncio.sleep(0)
    new = ask(stt, "a", final=False)
    assert (await old).superseded
    fake.let(2)
    assert (await new).text == "a"
    assert (await first).text == "first"
    assert fake.batches[1:] == [["a?"]]


async def test_who_leaves_is_not_written_down(stt, fake):
    first = await busy(stt, fake)
    gone, stays = ask(stt, "gone"), ask(stt, "stays")
    await asyncio.sleep(0)
    gone.cancel()
    fake.let(2)
    assert (await stays).text == "stays"
    await first
    assert fake.batches[1:] == [["stays!"]]


async def test_a_caller_who_leaves_during_the_call_does_not_disturb_the_others(stt, fake):
    first = await busy(stt, fake)
    gone, stays = ask(stt, "gone"), ask(stt, "stays")
    await asyncio.sleep(0)
    fake.let()
    await first
    while len(fake.batches) < 2:  # noqa: ASYNC110
        await asyncio.sleep(0)
    gone.cancel()
    fake.let()
    assert (await stays).text == "stays"
    with pytest.raises(asyncio.CancelledError):
        await gone


async def test_a_full_queue_refuses_at_once(stt, fake):
    first = await busy(stt, fake)
    waiting = [ask(stt, name) for name in "abc"]
    await asyncio.sleep(0)
    with pytest.raises(Overloaded):
        await stt.transcribe(Recognition(bytes(32), "d"))
    fake.let(2)
    await asyncio.gather(first, *waiting)


async def test_an_engine_that_fails_is_a_model_that_is_away_and_the_next_call_works(stt, fake):
    fake.fails = True
    first = await busy(stt, fake)
    fake.let()
    with pytest.raises(ModelUnavailable):
        await first
    fake.fails = False
    fake.let()
    assert (await stt.transcribe(Recognition(bytes(32), "next"))).text == "next"


async def test_no_time_is_spent_for_whoever_is_out_of_it(stt, fake):
    first = await busy(stt, fake)
    with use_context(RequestContext(deadline=0.0)), pytest.raises(DeadlineExceeded):
        await stt.transcribe(Recognition(bytes(32), "late"))
    fake.let()
    await first
    assert fake.batches == [["first!"]]


@pytest.mark.parametrize("audio", [bytes(3), bytes(2 * 31 * INPUT_RATE)], ids=["half a sample", "too long"])
async def test_audio_that_the_model_does_not_take_is_refused(stt, audio):
    with pytest.raises(InvalidInput):
        await stt.transcribe(Recognition(audio, "a"))
