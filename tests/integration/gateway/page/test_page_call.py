"""A call on the page: the real microphone and loudspeaker code of a real browser, a scripted server."""

import asyncio
from typing import Any
from uuid import uuid4

import pytest

from tests.integration.gateway.page.conftest import Tab
from tests.integration.gateway.page.fake_voice import FakeVoice, samples, tone

pytestmark = pytest.mark.slow  # a browser, and sound in real time


async def begin(tab: Tab) -> FakeVoice:
    """A call that listens."""
    voice = tab.site.voice
    await tab.login()
    await tab.page.click("#call")
    await voice.sent("session.start")
    await voice.facts("session.created")
    await voice.say("state", state="listening")
    await tab.page.wait_for_selector("#dock[data-state=listening]")
    return voice


def message(role: str, content: str, status: str = "completed") -> dict[str, Any]:
    identity = {"id": str(uuid4()), "conversation_id": str(uuid4()), "seq": 1, "created_at": "2026-11-22T10:00:00Z"}
    return {**identity, "role": role, "content": content, "status": status, "citations": [], "metadata": {}}


async def turn(voice: FakeVoice, number: int, question: str, answer: str, shown: Any = None) -> dict[str, Any]:
    """What the server says when the user has asked and the answer is there."""
    await voice.say("state", state="user_speaking")
    await voice.say("speech.started", utterance=number, sample=0)
    await voice.say("transcript.partial", utterance=number, text=question, stable=len(question) // 2, language="zh")
    if shown:
        await shown("user-speaking")
    heard = {"language": "zh", "start": 0, "end": 16000, "waited_ms": 420}
    await voice.say("transcript.final", utterance=number, turn=number, text=question, **heard)
    await voice.say("state", state="thinking")
    written = message("assistant", "", "streaming")
    of = {"turn": number, "message_id": written["id"]}
    await voice.say("answer.started", **of, id="1", question=message("user", question), answer=written)
    await voice.say("answer.status", **of, id="2", stage="searching")
    if shown:
        await shown("thinking")
    await voice.say("answer.delta", **of, id="3", text=answer)
    figures = {"end_of_turn_ms": 420, "asr_ms": 310, "retrieval_ms": 35, "first_token_ms": 290, "first_sound_ms": 1180}
    await voice.say("latency", turn=number, **figures, acknowledged=False)
    await voice.say("audio.clause", turn=number, start=0, samples=None, text=answer, acknowledgement=False)
    await voice.say("state", state="speaking")
    return written | {"content": answer, "status": "completed"}


def loud(heard: list[int]) -> int:
    """How many samples are sound."""
    return sum(abs(sample) > 300 for sample in heard)


async def test_a_spoken_turn_is_shown_and_heard(tab: Tab) -> None:
    voice, page = await begin(tab), tab.page
    await tab.shot("listening")
    await voice.until(lambda: any(abs(sample) > 500 for sample in samples(voice.sound)))  # the fake microphone beeps
    assert len(voice.sound) % 2 == 0

    async def shown(name: str) -> None:
        await page.wait_for_selector(f"#dock[data-state={name.replace('-', '_')}]")
        if name == "user-speaking":
            assert await page.inner_text(".pending .stable") == "退款多"
            assert await page.inner_text(".pending .unstable") == "久到账？"
        await tab.shot(name)

    answer = await turn(voice, 1, "退款多久到账？", "信用卡三到七个工作日。", shown)
    end = await voice.play(0, tone(1.0))
    await asyncio.sleep(0.5)
    await tab.shot("speaking")
    await voice.say("answer.completed", turn=1, id="9", message_id=answer["id"], message=answer)
    await voice.until(lambda: any(m["type"] == "played" and m["sample"] >= end for m in voice.messages))
    assert await page.inner_text(".question") == "退款多久到账？"
    assert await page.inner_text(".answer-text") == "信用卡三到七个工作日。"
    assert "1.18 s" in await page.inner_text(".strip")
    await asyncio.sleep(0.3)
    assert abs(loud(await tab.heard()) - 24000) < 1500  # all of it, once
    positions = [m["sample"] for m in voice.messages if m["type"] == "played"]
    assert positions == sorted(positions) and len(positions) >= 4
    await voice.say("state", state="listening")
    await page.click("#dock-end")
    await voice.sent("session.close")
    await page.wait_for_selector("#dock", state="hidden")


async def test_held_sound_goes_on_where_it_was_and_stopped_sound_does_not(tab: Tab) -> None:
    voice = await begin(tab)
    answer = await turn(voice, 1, "请介绍一下", "这是一个很长的回答，说到一半就被打断了。")
    await voice.play(0, tone(2.0))
    await asyncio.sleep(0.6)
    voice.messages.clear()
    await voice.say("audio.hold", sample=48000)
    await voice.say("state", state="interrupted")
    held = (await voice.sent("played", 0.3))["sample"]
    await asyncio.sleep(0.3)
    before = loud(await tab.heard())
    await asyncio.sleep(0.4)
    assert loud(await tab.heard()) == before  # not a sample while it is held
    await tab.shot("held")
    await voice.say("audio.resume")
    await voice.say("state", state="speaking")
    await asyncio.sleep(0.4)
    assert held > 6000 and loud(await tab.heard()) > before + 4000
    await voice.say("audio.stop", sample=48000, generation=1, turn=1, reason="interrupted")
    await asyncio.sleep(0.3)
    before = loud(await tab.heard())
    await voice.play(40000, tone(0.2), generation=0)  # of the old generation: thrown away
    await asyncio.sleep(0.4)
    assert loud(await tab.heard()) == before
    await voice.say("answer.cut", turn=1, message_id=answer["id"], chars=7)
    await tab.page.wait_for_selector(".answer-state")
    assert await tab.page.inner_text(".answer-text") == "这是一个很长的"
    await voice.say("state", state="listening")
    await tab.shot("interrupted")
    await voice.play(48000, tone(0.2), generation=1)
    await voice.until(lambda: any(m["type"] == "played" and m["sample"] >= 48000 + 4800 for m in voice.messages))


async def test_the_space_bar_interrupts(tab: Tab) -> None:
    voice = await begin(tab)
    await turn(voice, 1, "请介绍一下", "很长的回答。")
    await voice.play(0, tone(2.0))
    await tab.page.wait_for_selector("#dock-interrupt:enabled")
    await asyncio.sleep(0.3)
    await tab.page.focus("#main")
    await tab.page.keyboard.press("Space")
    await voice.sent("interrupt", 1.0)
    await asyncio.sleep(0.3)
    before = loud(await tab.heard())
    await asyncio.sleep(0.3)
    assert loud(await tab.heard()) == before  # silent before the server has said so


async def test_a_broken_connection_is_taken_up_again_and_nothing_is_lost(tab: Tab) -> None:
    voice, page = await begin(tab), tab.page
    await turn(voice, 1, "退款多久到账？", "三到七个工作日。")
    await voice.play(0, tone(0.6))
    await voice.until(lambda: len(voice.sound) > 32000)
    await voice.say("input.ack", sample=8000)
    await asyncio.sleep(0.3)
    first = voice.sounds[0]
    await voice.drop(1012)
    await page.wait_for_selector("#dock-lost", state="visible")
    await tab.shot("reconnecting")
    resumed = await voice.sent("session.resume")
    assert resumed["resume_token"] == "resume-me"
    assert 0 < resumed["played"] <= 14400
    await asyncio.sleep(0.3)
    assert not voice.sounds[1]  # nothing before it is told from where
    await voice.facts("session.resumed", input_from=10000, output_from=resumed["played"], generation=0)
    await page.wait_for_selector("#dock-lost", state="hidden")
    await voice.until(lambda: len(voice.sounds[1]) > 64000)
    overlap = len(first) - 20000
    assert overlap > 0 and voice.sounds[1][:overlap] == first[20000:]  # recorded once more, sample for sample
    await voice.play(resumed["played"], tone(1.0 - resumed["played"] / 24000, phase=resumed["played"]))
    await voice.until(lambda: any(m["type"] == "played" and m["sample"] >= 24000 for m in voice.messages))
    await asyncio.sleep(0.3)
    assert abs(loud(await tab.heard()) - 24000) < 1500  # neither lost nor doubled
    await voice.say(
        "transcript.final", utterance=1, turn=1, text="退款多久到账？", language="zh", start=0, end=1, waited_ms=1
    )
    await asyncio.sleep(0.1)
    assert await page.locator(".question").count() == 1


async def test_push_to_talk(tab: Tab) -> None:
    voice, page = await begin(tab), tab.page
    await page.click("#dock-push")
    assert (await voice.sent("session.update"))["turn_detection"] == {"automatic": False}
    await asyncio.sleep(0.3)
    voice.sound = b""
    await asyncio.sleep(1.3)  # longer than the fake microphone is silent between two beeps
    assert not any(samples(voice.sound))
    box = await page.locator("#dock-talk").bounding_box()
    await page.mouse.move(box["x"] + 20, box["y"] + 20)
    await page.mouse.down()
    await asyncio.sleep(1.3)
    await tab.shot("push-to-talk")
    assert any(samples(voice.sound))
    assert not voice.counts()["input.commit"]
    await page.mouse.up()
    await voice.sent("input.commit", 1.0)


async def test_typing_during_a_call_is_a_turn_of_it(tab: Tab) -> None:
    voice = await begin(tab)
    await tab.ask("用键盘问")
    assert (await voice.sent("text"))["text"] == "用键盘问"


async def test_why_a_call_did_not_begin(tab: Tab) -> None:
    await tab.login()
    tab.site.voice.refuse = 4503
    await tab.page.click("#call")
    await tab.page.wait_for_selector(".notice.error:has-text('语音服务暂不可用')")
    await tab.page.wait_for_selector("#dock", state="hidden")
    refuse = (
        "() => { navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException('', 'NotAllowedError')); }"
    )
    await tab.page.evaluate(refuse)
    await tab.page.click("#call")
    await tab.page.wait_for_selector(".notice.error:has-text('麦克风权限被拒绝')")
    await tab.shot("no-microphone")


async def test_opus_packets_are_decoded_in_time(tab: Tab) -> None:
    """Packets that the browser made itself, in the frames of the socket."""
    voice = await begin(tab)
    if not await tab.page.evaluate("'AudioEncoder' in window"):
        return
    packets = await tab.page.evaluate(
        """async () => { const out = []; const encoder = new AudioEncoder({ error: console.error, output: (chunk) => {
          const bytes = new Uint8Array(chunk.byteLength); chunk.copyTo(bytes); out.push(Array.from(bytes)); } });
        encoder.configure({ codec: 'opus', sampleRate: 24000, numberOfChannels: 1, bitrate: 32000 });
        const data = new Float32Array(24000).map((_, at) => Math.sin(2 * Math.PI * 440 * at / 24000) / 3);
        encoder.encode(new AudioData({ format: 'f32', sampleRate: 24000, numberOfFrames: 24000, numberOfChannels: 1,
          timestamp: 0, data }));
        await encoder.flush(); return out; }"""
    )
    for at, packet in enumerate(packets):
        await voice.play(at * 480, bytes(packet), flags=2)
    await voice.until(lambda: any(m["type"] == "played" and m["sample"] >= 24000 for m in voice.messages))
    await asyncio.sleep(0.3)
    assert abs(loud(await tab.heard()) - 24000) < 2000
