"""Two replicas, a real Valkey, upstreams that speak the vendors' formats: breakers, fallbacks, continuations, load."""

import asyncio
import random
from contextlib import suppress

import pytest

from tests.fakes import anthropic_server as claude
from tests.fakes.openai_server import Exchange, Speaks, openai_server
from tests.integration.models_router.conftest import QUICK, entry, replica, until
from voicehelper.config import ModelSettings
from voicehelper.errors import BrokenStream, ModelUnavailable, VoiceHelperError

GOOD = Speaks(("好", "的", "。"))


async def down(exchange: Exchange) -> None:
    await exchange.error(500, message="internal")


async def test_a_breaker_opened_by_one_is_seen_by_the_other_and_closes_after_trials_for_both(redis_url):
    async with openai_server(down) as bad, openai_server(GOOD) as good:
        models = [entry("m", bad.url, fallbacks=("n",)), entry("n", good.url)]
        async with replica(redis_url, models, QUICK) as one, replica(redis_url, models, QUICK) as other:
            assert await other.tried("n") == [("n", "answered")]
            for _ in range(10):
                assert (await one.tried("m"))[-1] == ("n", "answered")
            m = models[0].id
            assert await until(lambda: other.breakers.open_for(m) > 0) < 1.5
            asked = len(bad.seen)
            assert await other.tried("m") == [("m", "skipped"), ("n", "answered")]
            assert len(bad.seen) == asked
            bad.behaviour = GOOD
            await until(lambda: one.breakers.open_for(m) == 0 and other.breakers.open_for(m) == 0)
            trials = await asyncio.gather(*(router.tried("m") for router in (one, other) * 6))
            through = [tried for tried in trials if tried[-1][0] == "m"]
            assert 1 <= len(through) <= 3
            assert all(tried[-1][1] == "answered" for tried in trials)

            async def closed() -> bool:
                return [await router.tried("m") for router in (one, other)] == [[("m", "answered")]] * 2

            async with asyncio.timeout(3):
                while not await closed():  # noqa: ASYNC110 - told by nobody
                    await asyncio.sleep(0.02)
            assert not one.breakers.troubled() | other.breakers.troubled()


async def test_a_bad_trial_opens_it_again_for_both(redis_url):
    async with openai_server(down) as bad, openai_server(GOOD) as good:
        models = [entry("m", bad.url, fallbacks=("n",)), entry("n", good.url)]
        async with replica(redis_url, models, QUICK) as one, replica(redis_url, models, QUICK) as other:
            m = models[0].id
            for _ in range(10):
                await one.tried("m")
            await until(lambda: other.breakers.open_for(m) > 0)
            await until(lambda: other.breakers.open_for(m) == 0)
            assert await other.tried("m") == [("m", "50302"), ("n", "answered")]
            await until(lambda: one.breakers.open_for(m) > 0.5)  # twice as long now


async def test_without_redis_each_replica_keeps_its_own_and_nobody_waits(mortal_valkey):
    async with openai_server(down) as bad, openai_server(GOOD) as good:
        models = [entry("m", bad.url, fallbacks=("n",)), entry("n", good.url)]
        url = mortal_valkey.url
        async with replica(url, models, QUICK) as one, replica(url, models, QUICK) as other:
            m = models[0].id
            mortal_valkey.stop()
            loop = asyncio.get_running_loop()
            for _ in range(10):
                started = loop.time()
                assert (await one.tried("m"))[-1] == ("n", "answered")
                assert loop.time() - started < 1.0
            await until(lambda: one.breakers.open_for(m) > 0)
            assert await one.tried("m") == [("m", "skipped"), ("n", "answered")]
            assert other.breakers.open_for(m) == 0
            bad.behaviour = GOOD
            await until(lambda: one.breakers.open_for(m) == 0)
            for _ in range(3):
                assert await one.tried("m") == [("m", "answered")]
            await until(lambda: not one.breakers.troubled())
            await asyncio.to_thread(mortal_valkey.start)
            await until(lambda: not one.breakers.away and not other.breakers.away, 5.0)
            bad.behaviour = down
            for _ in range(10):
                await one.tried("m")
            await until(lambda: other.breakers.open_for(m) > 0)


async def test_too_many_calls_cool_the_model_for_all_and_are_no_failure(redis_url):
    async def busy(exchange: Exchange) -> None:
        await exchange.error(429, {"Retry-After": "1"}, code="rate_limit_exceeded")

    async with openai_server(busy) as bad, openai_server(GOOD) as good:
        models = [entry("m", bad.url, fallbacks=("n",)), entry("n", good.url)]
        async with replica(redis_url, models, QUICK) as one, replica(redis_url, models, QUICK) as other:
            assert other.breakers.open_for(models[0].id) == 0
            assert await one.tried("m") == [("m", "42902"), ("n", "answered")]
            assert await one.tried("m") == [("m", "skipped"), ("n", "answered")]
            await until(lambda: other.breakers.open_for(models[0].id) > 0, 1.0)
            await until(lambda: other.breakers.open_for(models[0].id) == 0)
            assert await other.tried("m") == [("m", "42902"), ("n", "answered")]


def _failing(share: float, seed: int):  # type: ignore[no-untyped-def]
    """Fails so often, in every way that can be repaired before the first piece."""
    dice = random.Random(seed)

    async def behave(exchange: Exchange) -> None:
        if dice.random() >= share:
            return await GOOD(exchange)
        way = dice.randrange(4)
        if way == 0:
            await exchange.error(500)
        elif way == 1:
            await exchange.error(429, {"Retry-After": "0"})
        elif way == 2:
            exchange.hang_up()
        else:
            await exchange.start_stream()
            exchange.hang_up()

    return behave


@pytest.mark.parametrize("breakers", [True, False], ids=["breakers", "no breakers"])
async def test_no_request_fails_while_half_of_all_calls_upstream_do(redis_url, breakers):
    settings = QUICK if breakers else ModelSettings(breaker_calls=10**6, backoff_s=0.02)
    async with openai_server(_failing(0.5, 1)) as flaky, openai_server(GOOD) as good:
        models = [entry("m", flaky.url, fallbacks=("n",)), entry("n", good.url)]
        async with replica(redis_url, models, settings) as one, replica(redis_url, models, settings) as other:
            answers = await asyncio.gather(*((one, other)[n % 2].ask("m") for n in range(200)))
            assert {text for text, _ in answers} == {"好的。"}
            assert {done.model for _, done in answers} == {"m", "n"}
            again = await asyncio.gather(*((one, other)[n % 2].ask("m") for n in range(200)))
            assert {text for text, _ in again} == {"好的。"}


async def test_no_request_fails_while_half_of_all_streams_break(redis_url):
    dice = random.Random(2)

    async def breaking(exchange: Exchange) -> None:
        if dice.random() < 0.5:
            return await Speaks(("白日依山尽，", "黄河入海流。"))(exchange)
        await exchange.start_stream()
        await exchange.delta("白日依山尽，")
        await asyncio.sleep(0.02)
        exchange.hang_up()

    async with openai_server(breaking) as flaky, openai_server(Speaks(("依山尽，黄河", "入海流。"))) as good:
        models = [entry("m", flaky.url, fallbacks=("n",)), entry("n", good.url)]
        async with replica(redis_url, models, ModelSettings(breaker_calls=10**6)) as one:
            answers = await asyncio.gather(*(one.ask("m") for _ in range(200)))
            assert {text for text, _ in answers} == {"白日依山尽，黄河入海流。"}
            broken = [done for _, done in answers if "continued_elsewhere" in done.route.warnings]
            assert 50 < len(broken) < 150
            assert all(done.route.cost_micros > 0 for done in broken)


async def test_a_model_of_another_format_takes_over(redis_url):
    async def dying(exchange: Exchange) -> None:
        await exchange.start_stream()
        await exchange.delta("春眠不觉晓，")
        await asyncio.sleep(0.02)
        exchange.hang_up()

    async def going_on(exchange: claude.Exchange) -> None:
        await exchange.start()
        await exchange.text("处处闻", "啼鸟。")
        await exchange.stop()

    async with openai_server(dying) as bad, claude.anthropic_server(going_on) as good:
        second = entry("c", good.url, provider="anthropic", capabilities=frozenset({"stream", "continue"}))
        models = [entry("m", bad.url, fallbacks=("c",)), second]
        async with replica(redis_url, models, QUICK) as one:
            text, done = await one.ask("m")
            assert text == "春眠不觉晓，处处闻啼鸟。"
            assert (done.model, done.route.provider) == ("c", "anthropic")
            assert [(tried.model, tried.outcome) for tried in done.route.attempts] == [
                ("m", "broken"),
                ("c", "answered"),
            ]
        async with replica(redis_url, models, ModelSettings(after_break="error")) as strict:
            with pytest.raises(BrokenStream):
                await strict.ask("m")


async def test_where_all_is_down_the_caller_is_told_quickly_and_what_was_tried(redis_url):
    async with openai_server(down) as bad:
        models = [entry("m", bad.url, fallbacks=("n",)), entry("n", bad.url)]
        async with replica(redis_url, models, QUICK) as one:
            with pytest.raises(ModelUnavailable) as told:
                await one.ask("m")
            assert [tried["model"] for tried in told.value.details["tried"]] == ["m", "n", "m", "n"]
            for _ in range(5):
                with suppress(VoiceHelperError):
                    await one.ask("m")
            await until(lambda: one.breakers.open_for(models[0].id) > 0)
            asked = len(bad.seen)
            with pytest.raises(ModelUnavailable) as refused:
                await one.ask("m")
            assert (refused.value.retry_after or 0) >= 1
            assert len(bad.seen) == asked


async def test_a_silent_model_is_left_in_time(redis_url):
    async def silent(exchange: Exchange) -> None:
        await exchange.start_stream()
        await asyncio.sleep(30)

    async with openai_server(silent) as bad, openai_server(GOOD) as good:
        models = [entry("m", bad.url, fallbacks=("n",)), entry("n", good.url)]
        async with replica(redis_url, models, ModelSettings(hedge=True)) as one:
            for _ in range(25):
                one.latencies.record(models[0].id, 100.0)
            assert one.latencies.p95_ms(models[0].id) is None
            await one.latencies.exchange()
            text, done = await one.ask("m")
            assert (text, done.model, done.route.warnings) == ("好的。", "n", ("hedged",))
