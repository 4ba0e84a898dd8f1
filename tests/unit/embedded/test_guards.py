"""The guards of tests/unit/conftest.py hold, for modules imported early and late."""

import pytest

from voicehelper.stores.postgres.pool import create_pool


async def test_no_database() -> None:
    with pytest.raises(AssertionError, match=r"asyncpg\.create_pool"):
        await create_pool("postgresql://x@127.0.0.1:1/x")


async def test_no_redis() -> None:
    import redis.asyncio

    with pytest.raises(AssertionError, match="AbstractConnection"):
        await redis.asyncio.Redis(port=1).ping()


def test_no_model() -> None:
    import xllamacpp

    with pytest.raises(AssertionError, match="Server"):
        xllamacpp.Server(xllamacpp.CommonParams())
