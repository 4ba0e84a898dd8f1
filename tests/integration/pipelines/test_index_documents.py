"""The bulk job as it is run: a process of its own with a Ray of its own, on a real database, with a fake embedder."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from voicehelper.ids import new_id
from voicehelper.stores.postgres.pool import Pool

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

TEXT = "# 第{n}章 退款\n\n退款将在 {n} 个工作日内到账。请保留订单号。\n\n## 发货\n\n订单 {n} 会在当天发出。\n"


class Jobs:
    """Starts jobs on the test's database and looks at what they did."""

    def __init__(self, pool: Pool, dsn: str, folder: Path) -> None:
        self.pool = pool
        self.input = folder / "input"
        self.report = folder / "report.json"
        self._environment = os.environ | {
            "VOICEHELPER_POSTGRES_URL": dsn,
            "VOICEHELPER_HOME": str(folder / "home"),
            "VOICEHELPER_EMBEDDER__BACKEND": "fake",
            "VOICEHELPER_INDEXING__LEASE_S": "2",
            "RAY_TMPDIR": "/tmp",
        }

    def start(self) -> "subprocess.Popen[bytes]":
        words = ["--local", "--input", str(self.input), "--kb", "手册", "--report", str(self.report)]
        command = [sys.executable, "-m", "pipelines.index_documents", *words]
        return subprocess.Popen(command, env=self._environment, start_new_session=True, cwd=Path(__file__).parents[3])

    def run(self) -> dict[str, Any]:
        assert self.start().wait(200) == 0
        result: dict[str, Any] = json.loads(self.report.read_text())
        return result

    def write(self, count: int) -> None:
        for n in range(count):
            path = self.input / f"folder {n % 3}" / f"{n}.md"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(TEXT.format(n=n))

    async def statuses(self) -> dict[str, int]:
        rows = await self.pool.fetch("SELECT status, count(*) FROM document_versions GROUP BY status")
        return {row[0]: row[1] for row in rows}


@pytest.fixture
async def jobs(pool: Pool, postgres_dsn: str, tmp_path: Path) -> Jobs:
    await pool.execute("INSERT INTO tenants (id, name) VALUES ($1, 'default')", new_id())
    return Jobs(pool, postgres_dsn, tmp_path)


async def test_a_folder_is_indexed_and_broken_files_fail_alone(jobs: Jobs) -> None:
    jobs.write(20)
    (jobs.input / "broken.pdf").write_bytes(b"%PDF-1.7\nnothing")
    (jobs.input / "empty.txt").write_bytes(b"")
    (jobs.input / "program.exe").write_bytes(b"MZ")
    (jobs.input / ".hidden.md").write_text("hidden")
    report = jobs.run()
    assert report["documents"] == {"total": 23, "indexed": 20, "unchanged": 0, "failed": 3, "unfinished": 0}
    assert {item["name"]: item["reason"] for item in report["failures"]} == {
        "broken.pdf": "corrupt",
        "empty.txt": "empty",
        "program.exe": "unsupported_type",
    }
    assert await jobs.statuses() == {"indexed": 20, "failed": 3}
    assert await jobs.pool.fetchval("SELECT count(*) FROM chunks") == report["chunks"] >= 20
    names = await jobs.pool.fetch("SELECT name FROM documents WHERE live_version_id IS NOT NULL ORDER BY name LIMIT 1")
    assert names[0]["name"] == "folder 0/0.md"
    again = jobs.run()
    assert again["documents"] == {"total": 23, "indexed": 0, "unchanged": 20, "failed": 3, "unfinished": 0}
    assert again["chunks"] == 0


async def test_killed_in_the_middle_it_completes_when_run_again(jobs: Jobs) -> None:
    jobs.write(120)
    process = jobs.start()
    await _until(lambda: process.poll() is not None, jobs, stored=30)
    assert process.poll() is None, "it was to be killed before its end"
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    query = "SELECT id, version_id FROM chunks"
    before = {row["id"] for row in await jobs.pool.fetch(query)}
    report = jobs.run()
    after = {row["id"] for row in await jobs.pool.fetch(query)}
    assert before <= after, "chunks in place were not written again"
    assert report["documents"]["indexed"] + report["documents"]["unchanged"] == 120
    assert await jobs.statuses() == {"indexed": 120}
    doubles = "SELECT count(*) FROM (SELECT 1 FROM chunks GROUP BY document_id, position HAVING count(*) > 1) d"
    assert await jobs.pool.fetchval(doubles) == 0


async def _until(ended: Callable[[], bool], jobs: Jobs, stored: int) -> None:
    deadline = time.monotonic() + 120
    query = "SELECT count(*) FROM documents WHERE live_version_id IS NOT NULL"
    while not ended() and await jobs.pool.fetchval(query) < stored:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)
