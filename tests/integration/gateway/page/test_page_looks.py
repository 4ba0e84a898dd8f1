"""The page on a telephone, in the dark, for a screen reader."""

from typing import Any

import pytest

from tests.integration.gateway.page.conftest import TAP, Site, Tab
from tests.integration.gateway.page.test_page_call import begin, turn
from tests.integration.gateway.page.test_page_chat import script

pytestmark = pytest.mark.slow  # a browser, and sound in real time

PHONE = {"viewport": {"width": 390, "height": 844}, "device_scale_factor": 2, "has_touch": True, "is_mobile": True}

# Every text's contrast with what lies behind it, by WCAG's formula; those below 4.5 (3 for large text).
FAINT = """() => {
  const canvas = new OffscreenCanvas(1, 1).getContext('2d', { willReadFrequently: true });
  const rgb = (color) => { canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = color; canvas.fillRect(0, 0, 1, 1);
    return Array.from(canvas.getImageData(0, 0, 1, 1).data); };
  const ground = (node) => {
    for (; node; node = node.parentElement) {
      const color = rgb(getComputedStyle(node).backgroundColor);
      if (color[3] > 250) return color; }
    return [255, 255, 255]; };
  const linear = (v) => v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4;
  const light = (c) => { const [r, g, b] = c.slice(0, 3).map((v) => linear(v / 255));
    return .2126 * r + .7152 * g + .0722 * b; };
  const out = [];
  for (const node of document.querySelectorAll('body *')) {
    const text = [...node.childNodes].some((child) => child.nodeType === 3 && child.data.trim());
    if (!text || !node.checkVisibility() || node.closest(':disabled, .hidden, .skip')) continue;
    const style = getComputedStyle(node);
    const [a, b] = [light(rgb(style.color)), light(ground(node))];
    const ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
    const large = parseFloat(style.fontSize) >= 24;
    if (ratio < (large ? 3 : 4.5)) out.push(`${node.className} ${node.textContent} ${ratio.toFixed(2)}`);
  }
  return out; }"""

# What a finger or a screen reader meets: controls without a name, and those too small to hit.
CONTROLS = """(smallest) => [...document.querySelectorAll('button, a, input, select, textarea, summary')]
  .filter((node) => node.checkVisibility() && !node.closest('.skip, .hidden'))
  .map((node) => {
    const { width, height } = node.getBoundingClientRect();
    const name = node.getAttribute('aria-label') || node.textContent.trim() || node.labels?.[0]?.textContent.trim();
    const meant = node.matches('.cite, .steps summary, [type=checkbox]'); // made larger by other means
    const small = width && !meant && Math.min(width, height) < smallest;
    const who = node.id || node.className;
    return (!name && `${who}: no name`) || (small && `${who}: ${width} x ${height}`); })
  .filter(Boolean)"""


@pytest.fixture
async def phone(browser: Any, site: Site) -> Any:
    context = await browser.new_context(locale="en-US", color_scheme="dark", **PHONE)
    await context.add_init_script(TAP)
    yield Tab(await context.new_page(), site)
    await context.close()


async def check(tab: Tab, smallest: int) -> None:
    assert await tab.page.evaluate(FAINT) == []
    assert await tab.page.evaluate(CONTROLS, smallest) == []


async def test_a_telephone_in_the_dark_in_english(phone: Tab) -> None:
    page = phone.page
    await page.goto(f"{phone.site.url}/playground")
    await page.wait_for_selector("#login-form")
    await phone.shot("phone-login")
    await check(phone, 26)
    await phone.login()
    await phone.shot("phone-empty")
    phone.site.harness.answerer.events = script()
    await phone.ask("How long do refunds take?")
    await page.wait_for_selector(".source-chip")
    await check(phone, 26)
    await page.click(".source-chip")
    await page.wait_for_selector("#source[open] mark")
    await phone.shot("phone-source")
    await check(phone, 26)
    await page.click("#source-close")
    await page.click("#menu")
    await phone.shot("phone-menu")
    await check(phone, 26)
    await page.click("#to-knowledge")
    await page.wait_for_selector("#knowledge:visible, #base-none:visible")
    await phone.shot("phone-knowledge")
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")


async def test_a_call_on_a_telephone(phone: Tab) -> None:
    voice = await begin(phone)
    await turn(voice, 1, "How long do refunds take?", "Three to seven working days.")
    await phone.page.wait_for_selector("#dock[data-state=speaking]")
    await phone.shot("phone-call")
    await check(phone, 30)
    assert await phone.page.evaluate("document.documentElement.scrollWidth <= innerWidth")


async def test_light_and_dark_are_both_legible(tab: Tab) -> None:
    tab.site.harness.answerer.events = script()
    await tab.login()
    await tab.ask("退款多久到账？")
    await tab.page.click(".cite")
    await tab.page.wait_for_selector("#source[open] mark")
    for scheme in ("light", "dark"):
        await tab.page.emulate_media(color_scheme=scheme)
        await tab.page.wait_for_timeout(300)
        await tab.shot(f"desk-{scheme}")
        await check(tab, 24)


async def test_the_whole_conversation_by_keyboard(tab: Tab) -> None:
    page = tab.page
    tab.site.harness.answerer.events = script()
    await tab.login()
    await page.keyboard.type("退款多久到账？")
    await page.keyboard.press("Enter")
    await page.wait_for_selector(".source-chip")
    assert "信用卡" in await page.inner_text("#announcer")
    for _ in range(30):
        await page.keyboard.press("Shift+Tab")
        if await page.evaluate("document.activeElement.className") == "source-chip":
            break
    await page.keyboard.press("Enter")
    await page.wait_for_selector("#source[open]")
    assert await page.evaluate("document.activeElement.id") == "source-close"
    await page.keyboard.press("Escape")
    assert await page.evaluate("document.activeElement.className") == "source-chip"
