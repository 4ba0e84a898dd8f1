"""What is kept before a client is told of it."""

import asyncio

from voicehelper.voice.model import AnswerSpoken
from voicehelper.voice.outputs import AnswerSaid
from voicehelper.voice.session_latency import Latencies
from voicehelper.voice.session_sound import SoundOut


async def test_a_client_hears_that_an_answer_was_all_when_the_store_knows_it():
    """Else a replica that takes the call over guesses how long its last clause was, and cuts what was heard whole."""
    fed: list[object] = []
    put: list[object] = []
    changed: list[bool] = []
    stored = asyncio.Event()

    async def kept():
        await stored.wait()

    sound = SoundOut(
        Latencies(lambda: 0.0),
        feed=fed.append,
        put=put.append,
        changed=lambda: changed.append(True),
        kept=kept,
        asks=lambda _turn: False,
    )
    telling = asyncio.create_task(sound.spoken(3, 4800))
    await asyncio.sleep(0)
    assert fed == [AnswerSpoken(3, 4800, False)]
    assert changed
    assert put == []
    stored.set()
    await telling
    assert put == [AnswerSaid(3, 4800)]
