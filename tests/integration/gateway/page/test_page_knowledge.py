"""Knowledge bases on the page."""

import asyncio
from typing import Any

import pytest

from tests.integration.gateway.page.conftest import Tab

pytestmark = pytest.mark.slow  # a browser, and sound in real time

GOOD = {"name": "退换货政策.md", "mimeType": "text/markdown", "buffer": "# 退货\n七天无理由。".encode()}
BAD = {"name": "坏.pdf", "mimeType": "application/pdf", "buffer": b"not a pdf"}
LARGE = {"name": "大.txt", "mimeType": "text/plain", "buffer": b"x" * 300_000}


async def make_base(tab: Tab, name: str) -> None:
    await tab.page.click("#to-knowledge")
    await tab.page.click("#base-new")
    await tab.page.fill("dialog input", name)
    await tab.page.press("dialog input", "Enter")
    await tab.page.wait_for_selector(f"#base option:has-text('{name}')", state="attached")


async def test_makes_a_base_uploads_and_deletes(tab: Tab) -> None:
    page: Any = tab.page
    await tab.login()
    await make_base(tab, "售后")
    await page.set_input_files("#files", [GOOD])
    await page.wait_for_selector("#documents .document:has-text('退换货政策.md')")
    assert "等待索引" in await page.inner_text("#documents")
    await tab.site.harness.pool.execute("UPDATE document_versions SET status = 'indexed', chunk_count = 3")
    await page.wait_for_selector("#documents .badge.indexed")
    await tab.shot("knowledge")
    await page.click("#documents button[aria-label^=删除]")
    await tab.shot("confirm")
    await page.click("dialog .button.danger")
    await page.wait_for_selector("#documents-none")
    await page.click("#new")
    assert "售后" in await page.inner_text("#scope")


async def test_refused_files_say_why(tab: Tab) -> None:
    page: Any = tab.page
    await tab.login()
    await make_base(tab, "说明书")
    await page.set_input_files("#files", [LARGE])
    await page.wait_for_selector("#uploads .failed .why")
    assert "上传失败" in await page.inner_text("#uploads")
    await page.set_input_files("#files", [GOOD, {**GOOD, "name": "图.exe", "mimeType": "application/octet-stream"}])
    await page.wait_for_selector("#uploads .upload:has-text('图.exe') .why")
    assert await page.locator("#documents .document").count() == 1
    await tab.shot("upload-error")


async def test_a_slow_upload_shows_how_far_it_is_and_can_be_cancelled(tab: Tab) -> None:
    page: Any = tab.page
    await tab.login()
    await make_base(tab, "慢")
    network = await page.context.new_cdp_session(page)
    await network.send("Network.enable")
    slow = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": 40_000}
    await network.send("Network.emulateNetworkConditions", slow)
    await page.set_input_files("#files", [{**LARGE, "buffer": b"x" * 190_000}])
    await page.wait_for_selector('#uploads :text-matches("已上传 [1-9]\\\\d%")')
    await tab.shot("uploading")
    await page.click("#uploads button[aria-label^=取消]")
    await asyncio.sleep(0.2)
    assert await page.locator("#uploads .upload").count() == 0
    assert await page.locator("#documents .document").count() == 0


async def test_a_dropped_file_is_uploaded(tab: Tab) -> None:
    page: Any = tab.page
    await tab.login()
    await make_base(tab, "拖放")
    await page.evaluate(
        """() => { const data = new DataTransfer();
        data.items.add(new File(['# 运费\\n满99元免运费。'], '运费.md', {type: 'text/markdown'}));
        const drop = new DragEvent('drop', { dataTransfer: data, bubbles: true, cancelable: true });
        document.getElementById('drop').dispatchEvent(drop); }"""
    )
    await page.wait_for_selector("#documents .document:has-text('运费.md')")
