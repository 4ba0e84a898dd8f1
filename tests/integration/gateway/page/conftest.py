"""The page in a real Chromium, in front of the real gateway with fake models."""

import asyncio
import os
import shutil
import socket
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from tests.integration.gateway.conftest import PASSWORD, Harness
from tests.integration.gateway.page.fake_voice import FakeVoice

playwright_api = pytest.importorskip("playwright.async_api", reason="playwright is not installed (extra `dev`)")

# Records what the page plays, and lets a test cut the network under it.
TAP = """
window.played = []; window.playedRate = 0;
const connect = AudioNode.prototype.connect;
AudioNode.prototype.connect = function (to, ...more) {
  if (to === this.context.destination && !(this instanceof ScriptProcessorNode)) {
    const tap = this.context.createScriptProcessor(1024, 1, 1);
    window.playedRate = this.context.sampleRate;
    tap.onaudioprocess = ({ inputBuffer, outputBuffer }) => {
      window.played.push(Array.from(inputBuffer.getChannelData(0), (x) => Math.round(x * 32767)));
      outputBuffer.getChannelData(0).set(inputBuffer.getChannelData(0));
    };
    connect.call(this, tap); connect.call(tap, to);
    return to;
  }
  return connect.call(this, to, ...more);
};
"""
EXPECTED = ("Failed to load resource", "ScriptProcessorNode")
"""Told by the browser, and no fault of the page: refused requests, and how the tests listen."""
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
    "--autoplay-policy=user-gesture-required",
]


@dataclass
class Site:
    """The server's address, what stands behind it, and what is said in its calls."""

    url: str
    harness: Harness
    voice: FakeVoice


@dataclass
class Tab:
    """The page in a browser. `troubles`: errors of its scripts and refusals of its policy; every test ends without."""

    page: Any
    site: Site
    troubles: list[str] = field(default_factory=list)

    async def login(self) -> None:
        await self.page.goto(f"{self.site.url}/playground")
        await self.page.fill("#email", "admin@example.com")
        await self.page.fill("#password", PASSWORD)
        await self.page.click("#login-go")
        await self.page.wait_for_selector("#question", state="visible")

    async def ask(self, text: str) -> None:
        await self.page.fill("#question", text)
        await self.page.press("#question", "Enter")

    async def heard(self) -> list[int]:
        """Everything the page has played so far, 16 bit."""
        blocks = await self.page.evaluate("window.played")
        return [sample for block in blocks for sample in block]

    async def shot(self, name: str) -> None:
        """A picture for people to look at, into the folder `VOICEHELPER_SHOTS`, if there is one."""
        if folder := os.environ.get("VOICEHELPER_SHOTS"):
            await self.page.screenshot(path=str(Path(folder) / f"{name}.png"))


@pytest.fixture
async def site(harness: Harness) -> AsyncIterator[Site]:
    """The gateway on a port of this machine."""
    voice = FakeVoice(harness.app)
    config = uvicorn.Config(voice, log_level="error", lifespan="off", ws="websockets-sansio")
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        running = asyncio.create_task(server.serve(sockets=[listener]))
        yield Site(f"http://127.0.0.1:{listener.getsockname()[1]}", harness, voice)
        server.should_exit = server.force_exit = True
        with suppress(asyncio.CancelledError):
            await asyncio.wait_for(running, 10)


@pytest.fixture
def speech(tmp_path: Path) -> str:
    """What the fake microphone records: a wav file's path, or nothing for beeps."""
    return ""


@pytest.fixture
async def browser(speech: str) -> AsyncIterator[Any]:
    """Debian's Chromium, without a screen."""
    executable = shutil.which("chromium")
    if executable is None:
        pytest.skip("chromium is not installed (Debian: apt-get install chromium)")
    flags = [*FLAGS, f"--use-file-for-fake-audio-capture={speech}"] if speech else FLAGS
    async with playwright_api.async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=executable, args=flags)
        yield browser
        await browser.close()


@pytest.fixture
async def tab(browser: Any, site: Site) -> AsyncIterator[Tab]:
    """The page, not logged in."""
    context = await browser.new_context(locale="zh-CN", viewport={"width": 1280, "height": 800})
    await context.add_init_script(TAP)
    tab = Tab(await context.new_page(), site)
    tab.page.set_default_timeout(15_000)

    def console(message: Any) -> None:
        known = any(words in message.text for words in EXPECTED)
        if message.type in {"error", "warning"} and not known:
            tab.troubles.append(message.text)

    tab.page.on("console", console)
    tab.page.on("pageerror", lambda error: tab.troubles.append(str(error)))
    yield tab
    await context.close()
    assert not tab.troubles
