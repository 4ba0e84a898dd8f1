import asyncio

import pytest

from deployments.admission import Admission
from voicehelper.errors import Overloaded


async def test_the_next_request_is_refused_and_health_is_always_answered():
    release, served = asyncio.Event(), []

    async def app(scope, receive, send):
        if scope["path"] == "/slow":
            await release.wait()
        served.append(scope["path"])

    admission = Admission(app, 2)

    async def get(path: str) -> None:
        await admission({"type": "http", "path": path}, None, None)

    slow = [asyncio.create_task(get("/slow")) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(Overloaded) as refused:
        await get("/any")
    assert refused.value.retry_after == 1.0
    await get("/health")
    slow[0].cancel()
    await asyncio.sleep(0)
    await get("/any")
    release.set()
    await slow[1]
    assert served == ["/health", "/any", "/slow"]
