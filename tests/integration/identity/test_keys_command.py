"""`voicehelper keys` on a real database."""

import asyncio
from pathlib import Path

import pytest
from typer.testing import CliRunner

from voicehelper.cli.main import app
from voicehelper.stores.postgres.pool import Pool


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("VOICEHELPER_HOME", str(tmp_path))


async def invoke(*arguments: str):
    return await asyncio.to_thread(CliRunner().invoke, app, ["keys", *arguments])


async def test_rotate_and_list(pool: Pool, postgres_dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOICEHELPER_POSTGRES_URL", postgres_dsn)
    kids = []
    for _ in range(2):
        done = await invoke("rotate")
        assert done.exit_code == 0, done.output
        kids.append(done.output.strip().splitlines()[-1].split()[0])
    listed = await invoke("list")
    assert [line.split()[0] for line in listed.output.splitlines()[1:]] == kids[::-1]
    audited = await pool.fetch("SELECT resource_id, actor_kind FROM audit_logs WHERE action = 'signing_key.rotated'")
    assert {(row["resource_id"], row["actor_kind"]) for row in audited} == {(kid, "system") for kid in kids}


async def test_without_a_database_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VOICEHELPER_POSTGRES_URL", raising=False)
    done = await invoke("list")
    assert done.exit_code == 1
    assert "voicehelper keys: No postgres_url" in done.output
