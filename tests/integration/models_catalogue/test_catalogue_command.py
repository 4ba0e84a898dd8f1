"""The command line, the real application behind a socket, and a server that speaks OpenAI's format."""

import asyncio
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from typer.testing import CliRunner

from tests.fakes.openai_server import Exchange, Speaks, openai_server
from tests.prove.tenancy_asgi import ADMIN, PASSWORD, settings_for
from tests.prove.tenancy_contract import served
from voicehelper.cli.main import app
from voicehelper.stores.postgres.pool import Pool


@pytest.mark.timeout(120)
async def test_a_model_is_added_tried_and_removed(
    postgres_dsn: str, redis_url: str, pool: Pool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_KEY", "sk-of-the-vendor")
    async with openai_server(Speaks(("O", "K"))) as vendor:
        with capture_logs() as logs, served(settings_for(tmp_path, postgres_dsn, redis_url)) as host:

            async def run(*words: str) -> tuple[int, str]:
                account = ("--url", host.url, "--email", ADMIN, "--password", PASSWORD)
                result = await asyncio.to_thread(CliRunner().invoke, app, ["catalogue", *words, *account])
                return result.exit_code, result.output

            where = ("--provider", "openai_compatible", "--base-url", vendor.url, "--context", "4096")
            code, output = await run("add", "mine", *where, "--price-in", "0.4", "--key-env", "MY_KEY")
            assert (code, output) == (0, "mine: version 1, enabled\n")
            code, output = await run("list")
            assert code == 0 and "mine" in output and "instance" in output
            code, output = await run("test", "mine")
            assert code == 0 and "2 tokens" in output, output
            assert vendor.seen[-1].headers["authorization"] == "Bearer sk-of-the-vendor"
            assert vendor.seen[-1].body["model"] == "mine"

            async def refuses(exchange: Exchange) -> None:
                await exchange.error(401, code="invalid_api_key", message="Incorrect API key sk-of-the-vendor")

            vendor.behaviour = refuses
            code, output = await run("test", "mine")
            assert code == 1 and "key" in output and "sk-of" not in output, output
            assert (await run("change", "mine", "--disable"))[0] == 0
            assert (await run("remove", "mine")) == (0, "mine is removed\n")
            code, output = await run("test", "mine")
            assert code == 1 and "There is no model mine" in output
    assert logs and "sk-of" not in str(logs)
    assert await pool.fetchval("SELECT count(*) FROM models") == 0
