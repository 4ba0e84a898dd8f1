"""Point 2: gateway replicas are killed in the middle of answers, and replaced by a rolling update, under live calls."""

import asyncio
import json
import os
import random
import signal
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import httpx
import numpy as np

from tests.prove.server import wait_until
from tests.prove.voice_caller import Caller, Piece
from tests.prove.voice_server import ANSWER, REPLICAS, VoiceCluster

WITHIN_S = 30.0
REPEAT_S = 0.2
_ALIKE = 0.9
_WINDOW_S = 0.1
_SHIFT_S = 0.6
_LIKE = 0.9
_QUIET = 300


@dataclass
class Conversation:
    """A caller who asks the same question again and again, and what he got."""

    call: Caller
    question: bytes
    asked: int = 0
    spoken: list[tuple[int, int]] = field(default_factory=list)  # first and last output sample of each answer
    wrong: list[str] = field(default_factory=list)

    async def ask(self) -> None:
        """One question, and its answer heard to its end."""
        finals = len(self.turns())
        self.call.say(self.question)
        await self.call.until(lambda: len(self.turns()) > finals, 60)
        turn = self.turns()[-1]
        self.asked += 1
        await self.call.until(lambda: bool(self.call.of("answer.said", turn=turn)), 120)
        end = self.call.of("answer.said", turn=turn)[-1]["sample"]
        await self.call.until(lambda: self.call.position >= end, 60)
        self.spoken.append((self.call.of("audio.clause", turn=turn)[0]["start"], end))

    def turns(self) -> list[int]:
        """Numbers of the turns that were heard, each once."""
        return list(dict.fromkeys(event["turn"] for event in self.call.of("transcript.final")))

    def resumed(self) -> str:
        """How its connections went."""
        return f"{len(self.call.resumes)} resumes, state {[e['state'] for e in self.call.of('state')[-2:]]}"

    @property
    def answering(self) -> bool:
        """Whether an answer sounds, well after its beginning and before its end."""
        turns = self.turns()
        clauses = self.call.of("audio.clause", turn=turns[-1]) if turns else []
        if not clauses or not self.call.hearing:
            return False
        return self.call.position > clauses[0]["start"] + self.call.rate // 2


def survive(server: VoiceCluster, wanted: int, seed: int, callers: int = 4) -> tuple[str, bool]:
    """Kill replicas until `wanted` of the kills came in the middle of an answer."""
    question = server.speech_of_question()
    return asyncio.run(_survive(server, question, wanted, random.Random(seed), callers))


def roll(server: VoiceCluster, callers: int) -> tuple[str, bool]:
    """A rolling update under `callers` calls."""
    question = server.speech_of_question()
    return asyncio.run(_roll(server, question, callers))


def outlive(server: VoiceCluster, times: int, seed: int, callers: int = 2) -> tuple[str, bool]:
    """Kill the recogniser and the synthesiser in turns, `times` in all, while answers sound."""
    question = server.speech_of_question()
    return asyncio.run(_outlive(server, question, times, random.Random(seed), callers))


async def _survive(
    server: VoiceCluster, question: bytes, wanted: int, rng: random.Random, callers: int
) -> tuple[str, bool]:
    talks = await _dial(server, question, callers)
    try:
        await talks[0].ask()  # undisturbed: what an answer sounds like
        reference = talks[0].spoken[0]
        stop = asyncio.Event()
        speaking = [asyncio.create_task(_go_on(talk, stop)) for talk in talks]
        kills = hits = cut = 0
        while hits < wanted and kills < 4 * wanted and not any(task.done() for task in speaking):
            answers = await _kill(server, talks, rng)
            kills, hits, cut = kills + 1, hits + (answers > 0), cut + answers
        await _ended(talks, speaking, stop)
    finally:
        await asyncio.gather(*(talk.call.__aexit__() for talk in talks))
    wrong = _faults(server, talks)
    sound = _Sound.of(talks, talks[0], reference)
    resumes = [resume for talk in talks for resume in talk.call.resumes]
    longest = max((resume.seconds for resume in resumes), default=0.0)
    ok = hits >= wanted and longest <= WITHIN_S and not wrong and sound.ok
    asked = sum(talk.asked for talk in talks)
    figure = (
        f"{kills} kills, {hits} in the middle of {cut} answers, {len(resumes)} resumes (median"
        f" {np.median([r.seconds for r in resumes] or [0]):.1f} s, longest {longest:.1f} s); {asked} questions,"
        f" {len(wrong)} wrong {wrong[:4]}; {sound}"
    )
    return figure, ok


async def _outlive(
    server: VoiceCluster, question: bytes, times: int, rng: random.Random, callers: int
) -> tuple[str, bool]:
    talks = await _dial(server, question, callers)
    away: list[float] = []
    try:
        await talks[0].ask()
        reference = talks[0].spoken[0]
        stop = asyncio.Event()
        speaking = [asyncio.create_task(_go_on(talk, stop)) for talk in talks]
        for number in range(times):
            node = ("tts", "stt")[number % 2]
            await _until(lambda: any(talk.answering for talk in talks), 90)
            await asyncio.sleep(rng.uniform(0, 3.0))
            pids = await asyncio.to_thread(server.replicas, node)
            os.kill(rng.choice(pids), signal.SIGKILL)
            away.append(await asyncio.to_thread(_replaced, server, node, pids))
        await _ended(talks, speaking, stop)
    finally:
        await asyncio.gather(*(talk.call.__aexit__() for talk in talks))
    wrong = _faults(server, talks)
    errors = [event["code"] for talk in talks for event in talk.call.of("error")]
    sound = _Sound.of(talks, talks[0], reference)
    figure = (
        f"{times} kills of synthesiser and recogniser in turns (a new process after {max(away):.1f} s at most),"
        f" {sum(talk.asked for talk in talks)} questions, {len(wrong)} wrong {wrong[:4]}, errors {errors}; {sound}"
    )
    return figure, not wrong and not errors and sound.ok


def _replaced(server: VoiceCluster, node: str, before: list[int]) -> float:
    return wait_until(lambda: bool(set(server.replicas(node)) - set(before)), 60, every=0.1)


async def _ended(talks: list[Conversation], speaking: list[asyncio.Task[None]], stop: asyncio.Event) -> None:
    """No more questions; those that were asked are answered, or noted as wrong."""
    stop.set()
    for task, talk in zip(speaking, talks, strict=True):
        try:
            await asyncio.wait_for(task, 150)
        except (TimeoutError, ConnectionError) as error:
            talk.wrong.append(f"{type(error).__name__}: {error}")


async def _kill(server: VoiceCluster, talks: list[Conversation], rng: random.Random) -> int:
    """One replica, while an answer sounds; how many answers that cut. Returns when all is whole again."""
    await _until(lambda: any(talk.answering for talk in talks), 90)
    await asyncio.sleep(rng.uniform(0, 1.0))
    pids = await asyncio.to_thread(server.replicas)
    before, busy = [len(talk.call.resumes) for talk in talks], [talk.answering for talk in talks]
    os.kill(rng.choice(pids), signal.SIGKILL)
    await asyncio.sleep(2.0)
    await _until(
        lambda: all(not talk.call.resumes or talk.call.resumes[-1].seconds or talk.call.lost for talk in talks), 40
    )
    await _until_async(server, pids)
    return sum(b and len(talk.call.resumes) > n for talk, n, b in zip(talks, before, busy, strict=True))


async def _until_async(server: VoiceCluster, before: list[int]) -> None:
    for _ in range(240):
        pids = await asyncio.to_thread(server.replicas)
        if len(pids) == REPLICAS and set(pids) != set(before) and await asyncio.to_thread(_ready, server):
            return
        await asyncio.sleep(0.25)
    raise TimeoutError("the killed replica did not come back within a minute")


def _ready(server: VoiceCluster) -> bool:
    try:
        return server.ready()
    except httpx.HTTPError:
        return False


async def _roll(server: VoiceCluster, question: bytes, callers: int) -> tuple[str, bool]:
    talks = await _dial(server, question, callers)
    try:
        stop = asyncio.Event()
        speaking = [asyncio.create_task(_go_on(talk, stop)) for talk in talks]
        await _until(lambda: any(talk.answering for talk in talks), 90)
        took = await asyncio.to_thread(server.redeploy)
        for talk, n in zip(talks, [talk.asked for talk in talks], strict=True):
            with suppress(TimeoutError):
                await _until(lambda talk=talk, n=n: talk.asked > n or bool(talk.call.lost), 60)
            if talk.asked == n:
                last = [event["type"] for event in talk.call.events[-6:]]
                talk.wrong.append(f"no answer in the minute after the update; {talk.resumed()}; last {last}")
        await _ended(talks, speaking, stop)
    finally:
        await asyncio.gather(*(talk.call.__aexit__() for talk in talks))
    wrong = _faults(server, talks)
    resumes = [resume for talk in talks for resume in talk.call.resumes]
    dropped = sum(bool(talk.call.lost) for talk in talks)
    figure = (
        f"{callers} calls, {dropped} dropped, {len(resumes)} resumes (longest"
        f" {max((r.seconds for r in resumes), default=0.0):.1f} s), update took {took:.0f} s;"
        f" {sum(talk.asked for talk in talks)} questions, {len(wrong)} wrong {wrong[:4]}"
    )
    return figure, not dropped and not wrong and len(resumes) >= callers


async def _dial(server: VoiceCluster, question: bytes, callers: int) -> list[Conversation]:
    token = server.login()["access_token"]
    start = {"language": "zh", "turn_detection": {"dead_air_ms": 0}}
    talks = [Conversation(Caller(server.url, token, start), question) for _ in range(callers)]
    await asyncio.gather(*(talk.call.__aenter__() for talk in talks))
    return talks


async def _go_on(talk: Conversation, stop: asyncio.Event) -> None:
    while not stop.is_set():
        await talk.ask()
        await asyncio.sleep(0.5)


async def _until(condition: Any, seconds: float) -> None:
    for _ in range(int(seconds / 0.05)):
        if condition():
            return
        await asyncio.sleep(0.05)
    raise TimeoutError(f"not within {seconds} s")


def _faults(server: VoiceCluster, talks: list[Conversation]) -> list[str]:
    """What is wrong with all of them; what such a call was sent is kept beside the log."""
    found: list[str] = []
    for talk in talks:
        if faults := talk.wrong + _messages(server, talk):
            found += faults
            kept = server.log.with_name(f"call-{talk.call.facts['session_id']}.jsonl")
            kept.write_text("\n".join(json.dumps(event, ensure_ascii=False) for event in talk.call.events))
    return found


def _messages(server: VoiceCluster, talk: Conversation) -> list[str]:
    """What is wrong with the conversation as it was stored."""
    with server.api() as api:
        path = f"/api/v1/conversations/{talk.call.facts['conversation_id']}/messages"
        items = api.get(path, params={"limit": 200}).raise_for_status().json()["items"]
    roles = [item["role"] for item in items]
    wrong: list[str] = []
    if roles != ["user", "assistant"] * talk.asked:
        wrong.append(f"{talk.asked} questions, stored {roles.count('user')} and {roles.count('assistant')} answers")
    answers = {(item["status"], item["content"]) for item in items if item["role"] == "assistant"}
    for turn in talk.turns():
        said = {clause["start"]: clause["text"] for clause in talk.call.of("audio.clause", turn=turn)}
        if (text := "".join(said[start] for start in sorted(said))) != ANSWER:
            wrong.append(f"said of an answer: {text}")
    wrong += [f"an answer is {status}: {text[:60]}" for status, text in answers - {("completed", ANSWER)}]
    return wrong


@dataclass
class _Sound:
    """What was played of all answers, against one that nothing disturbed."""

    answers: int = 0
    longest_repeat: float = 0.0
    longest_gap: float = 0.0
    alike: float = 1.0
    length: float = 0.0
    longer: float = 0.0

    @property
    def ok(self) -> bool:
        """Nothing said twice, nothing left out, and it was the same voice."""
        whole = max(self.longest_repeat, self.longest_gap, self.longer) <= REPEAT_S
        return whole and self.alike >= _ALIKE

    def __str__(self) -> str:
        return (
            f"{self.answers} answers of {self.length:.1f} s compared with an undisturbed one: longest repetition"
            f" {self.longest_repeat * 1000:.0f} ms, longest gap {self.longest_gap * 1000:.0f} ms, at most"
            f" {self.longer * 1000:.0f} ms longer, windows alike {self.alike:.3f} at worst"
        )

    @classmethod
    def of(cls, talks: list[Conversation], first: Conversation, reference: tuple[int, int]) -> "_Sound":
        rate = first.call.rate
        model = _samples(first.call.played, reference)
        found = cls(length=len(model) / rate)
        for talk in talks:
            for span in talk.spoken:
                found.answers += 1
                repeat, gap = _order(talk.call.played, span)
                found.longest_repeat = max(found.longest_repeat, repeat / rate)
                found.longest_gap = max(found.longest_gap, gap / rate)
                found.longer = max(found.longer, (span[1] - span[0] - len(model)) / rate)
                found.alike = min(found.alike, _alike(model, _samples(talk.call.played, span), rate))
        return found


def _order(played: list[Piece], span: tuple[int, int]) -> tuple[int, int]:
    """Longest stretch (samples) that was played twice, and that was left out, within an answer."""
    repeat = gap = 0
    at = span[0]
    for piece in played:
        if span[0] <= piece.sample < span[1]:
            repeat, gap = max(repeat, at - piece.sample), max(gap, piece.sample - at)
            at = max(at, piece.sample + len(piece.pcm) // 2)
    return repeat, max(gap, span[1] - at)


def _samples(played: list[Piece], span: tuple[int, int]) -> "np.ndarray[Any, np.dtype[np.float32]]":
    """The answer's sound, each piece at its place."""
    sound = np.zeros(span[1] - span[0], np.float32)
    for piece in played:
        if span[0] <= piece.sample < span[1]:
            samples = np.frombuffer(piece.pcm, "<i2")[: span[1] - piece.sample]
            sound[piece.sample - span[0] :][: len(samples)] = samples
    return sound


def _alike(model: Any, sound: Any, rate: int) -> float:
    """Share of windows of `sound` that are in `model`, at most `_SHIFT_S` from the same place: where a clause ends
    depends on when its text came, and moves what follows a little."""
    size, reach = int(rate * _WINDOW_S), int(rate * _SHIFT_S)
    same = count = 0
    for at in range(0, len(sound) - size, size):
        window = sound[at : at + size]
        count += 1
        if np.abs(window).max() < _QUIET:
            same += 1
            continue
        near = model[max(0, at - reach) : at + size + reach]
        same += len(near) >= size and _best(near, window) > _LIKE
    return same / max(count, 1)


def _best(near: Any, window: Any) -> float:
    """The highest correlation of `window` with a stretch of `near`, 1 for the same sound at any loudness."""
    length = len(near) + len(window)
    product = np.fft.irfft(np.fft.rfft(near, length) * np.conj(np.fft.rfft(window, length)), length)
    energy = np.cumsum(np.concatenate([[0.0], near.astype(np.float64) ** 2]))
    stretches = energy[len(window) :] - energy[: -len(window)]
    scale = np.sqrt(np.maximum(stretches, 1.0)) * float(np.linalg.norm(window))
    return float((product[: len(stretches)] / scale).max())
