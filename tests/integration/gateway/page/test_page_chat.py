"""Typing on the page."""

import asyncio
import json

import httpx
import pytest

from tests.integration.gateway.page.conftest import Tab
from voicehelper.ids import new_id
from voicehelper.ports.chat import ChatUsage
from voicehelper.rag.events import AnswerCitations, AnswerDelta, AnswerDone, AnswerEvent, AnswerStatus, Citation

pytestmark = pytest.mark.slow  # a browser, and sound in real time

ANSWER = "退款审核通过后原路退回，**信用卡**需要3至7个工作日到账。\n\n- 余额：即时\n- 微信、支付宝：1至3个工作日"
CHUNK = new_id()


def citation(index: int, start: int, end: int, quote: str) -> Citation:
    heading = ("退款", "到账时间")
    return Citation(index, start, end, CHUNK, new_id(), "退款到账时间说明.md", 2, heading, quote, 0.9)


def script() -> list[AnswerEvent]:
    pieces = [ANSWER[at : at + 6] for at in range(0, len(ANSWER), 6)]
    return [
        AnswerStatus("rewriting"),
        AnswerStatus("searching"),
        AnswerStatus("answering"),
        *map(AnswerDelta, pieces),
        AnswerCitations((citation(1, 0, 32, "信用卡支付的订单，退款3至7个工作日到账。"),)),
        AnswerDone("answered", usage=ChatUsage(100, 40), model="fake-model"),
    ]


async def test_asks_reads_the_answer_and_opens_its_source(tab: Tab) -> None:
    answerer, page = tab.site.harness.answerer, tab.page
    answerer.events, answerer.delay = script(), 0.02
    await page.goto(f"{tab.site.url}/playground")
    await page.wait_for_selector("#login-form")
    await tab.shot("login")
    await tab.login()
    await page.wait_for_selector("#welcome")
    await tab.shot("empty")
    await tab.ask("退款多久到账？")
    await page.wait_for_selector(".answer.streaming .answer-text")
    await tab.shot("streaming")
    await page.wait_for_selector(".source-chip")
    text = await page.inner_text(".answer-text")
    assert "信用卡" in text and "**" not in text
    assert await page.locator(".answer-text li").count() == 2
    assert [question.text for question in answerer.questions] == ["退款多久到账？"]
    await page.click(".cite")
    await page.wait_for_selector("#source[open] mark")
    assert "3至7个工作日" in await page.inner_text("#source mark")
    assert "退款到账时间说明.md" in await page.inner_text("#source")
    assert "第 2 页" in await page.inner_text("#source")
    await tab.shot("source")
    await page.keyboard.press("Escape")
    assert await page.evaluate("document.activeElement.className") == "cite"
    assert await page.inner_text("#conversations .title") == "退款多久到账？"


async def test_judges_and_regenerates_and_finds_all_after_a_reload(tab: Tab) -> None:
    page = tab.page
    tab.site.harness.answerer.events = script()
    await tab.login()
    await tab.ask("退款多久到账？")
    await page.click(".actions button[aria-label=有帮助]")
    await page.wait_for_selector(".actions button[aria-label=有帮助][aria-pressed=true]")
    tab.site.harness.answerer.events = [AnswerDelta("另一个回答。"), AnswerDone("answered")]
    await page.click(".actions button[aria-label=重新回答]")
    await page.wait_for_selector("text=另一个回答。")
    await page.reload()
    await page.wait_for_selector("text=另一个回答。")
    assert await page.locator(".message").count() == 2


async def test_stops_an_answer(tab: Tab) -> None:
    answerer = tab.site.harness.answerer
    answerer.events, answerer.delay = [AnswerDelta(f"{number}、") for number in range(200)], 0.05
    await tab.login()
    await tab.ask("数到二百")
    await tab.page.wait_for_selector("text=3、")
    await tab.page.click("#stop")
    await tab.page.wait_for_selector("text=已停止")
    assert answerer.stopped == 1
    await tab.page.wait_for_selector("#send", state="visible")


async def test_an_answer_goes_on_after_the_connection_broke(tab: Tab) -> None:
    answerer, page = tab.site.harness.answerer, tab.page
    answerer.events = [*(AnswerDelta(f"第{number}个，") for number in range(60)), AnswerDone("answered")]
    answerer.delay = 0.05
    await tab.login()
    # the first response ends in its middle
    await page.evaluate(
        """() => { const whole = window.fetch; let cut = false;
        window.fetch = async (url, options) => { const response = await whole(url, options);
          if (cut || !String(url).endsWith('/messages')) return response; cut = true;
          const reader = response.body.getReader(); let read = 0;
          const body = new ReadableStream({ async pull(to) { const { value, done } = await reader.read();
            if (!done && ++read <= 8) return to.enqueue(value);
            reader.cancel(); to.error(new TypeError('network error')); } });
          return new Response(body, { status: response.status, headers: response.headers }); } }"""
    )
    async with page.expect_request(lambda request: request.url.endswith("/events")) as resumed:
        await tab.ask("数到六十")
    headers = await (await resumed.value).all_headers()
    assert headers["last-event-id"]
    await page.wait_for_selector("text=第59个")
    assert (await page.inner_text(".answer-text")).strip() == "".join(f"第{number}个，" for number in range(60))


async def test_a_failure_is_told_and_nothing_runs_as_markup(tab: Tab) -> None:
    page = tab.page
    hostile = '<img src=x onerror="window.hacked=1"> [x](javascript:hacked=1) <script>hacked=1</script>'
    tab.site.harness.answerer.events = [AnswerDelta(hostile), AnswerDone("answered")]
    await tab.login()
    await tab.ask(hostile)
    await page.wait_for_selector("#send", state="visible")
    await page.wait_for_selector(".actions")
    assert await page.inner_text(".answer-text") == hostile
    assert await page.evaluate("window.hacked") is None
    assert await page.locator("#thread img, #thread script, #thread a").count() == 0


async def test_two_chinese_characters_of_an_input_method_are_not_sent(tab: Tab) -> None:
    await tab.login()
    await tab.page.focus("#question")
    await tab.page.evaluate(
        """() => document.getElementById('question').dispatchEvent(
        new KeyboardEvent('keydown', { key: 'Enter', keyCode: 229, isComposing: true, bubbles: true }))"""
    )
    assert await tab.page.locator(".message").count() == 0


async def test_a_renewed_login_goes_unnoticed_and_an_ended_one_does_not(tab: Tab) -> None:
    page = tab.page
    await tab.login()
    kept = json.loads(await page.evaluate("sessionStorage.getItem('voicehelper.login')"))
    await page.evaluate(
        "kept => sessionStorage.setItem('voicehelper.login', JSON.stringify({...kept, until: 0}))", kept
    )
    await page.reload()
    await page.wait_for_selector("#question", state="visible")
    renewed = json.loads(await page.evaluate("sessionStorage.getItem('voicehelper.login')"))
    assert renewed["refresh"] != kept["refresh"]
    headers = {"authorization": f"Bearer {renewed['access']}"}
    async with httpx.AsyncClient(base_url=tab.site.url, headers=headers) as elsewhere:
        assert (await elsewhere.post("/api/v1/auth/logout-all")).status_code == 200
    await asyncio.sleep(1.0)  # within a second no replica takes the token any more
    await tab.ask("还在吗？")
    await page.wait_for_selector("#login-form", state="visible")


async def test_the_other_language(tab: Tab) -> None:
    await tab.login()
    assert await tab.page.inner_text("#new") == "新会话"
    await tab.page.click("#sidebar [data-language]")
    assert await tab.page.inner_text("#new") == "New conversation"
    assert await tab.page.get_attribute("html", "lang") == "en"
    await tab.page.reload()
    await tab.page.wait_for_selector("text=How can I help?")
