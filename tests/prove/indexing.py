"""Point 2: 300 mixed files, 20 of them broken, by `voicehelper index` and by `ray job submit`, each killed half-way."""

import json
import os
import signal
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.fakes.broken_files import broken_files, mixed_corpus
from tests.prove.server import Server, wait_until

STATE = """
    SELECT d.name, v.id::text AS version, v.status, v.reason, v.finished_at
    FROM documents d
    JOIN knowledge_bases b ON b.id = d.kb_id
    JOIN LATERAL (
        SELECT * FROM document_versions v WHERE v.document_id = d.id ORDER BY created_at DESC LIMIT 1
    ) v ON true
    WHERE b.name = $1
"""
DOUBLES = """
    SELECT count(*) AS doubles FROM (
        SELECT c.document_id, c.position FROM chunks c JOIN knowledge_bases b ON b.id = c.kb_id
        WHERE b.name = $1 GROUP BY 1, 2 HAVING count(*) > 1
    ) doubled
"""


@dataclass(frozen=True)
class Corpus:
    folder: Path
    good: frozenset[str]
    broken: dict[str, str]

    @property
    def size(self) -> int:
        return len(self.good) + len(self.broken)


def by_cli(server: Server, corpus: Corpus, kb: str) -> str:
    report = corpus.folder.with_name(f"{kb}.report.json")
    command = [
        server.executable("voicehelper"), "index", str(corpus.folder), "--kb", kb, "--report", str(report),
    ]  # fmt: skip
    return _killed_and_again(server, corpus, kb, lambda: server.spawn(command), _kill_group, report)


def by_ray_job(server: Server, corpus: Corpus, kb: str) -> str:
    command = [
        "bash", "-c", f'eval "$({server.executable("voicehelper")} env)" && exec "$@"', "--",
        server.executable("ray"), "job", "submit", "--submission-id", "{id}", "--",
        "python", "-m", "pipelines.index_documents", "--input", str(corpus.folder), "--kb", kb,
    ]  # fmt: skip
    attempts = iter(("prove-first", "prove-second"))
    return _killed_and_again(
        server,
        corpus,
        kb,
        lambda: server.spawn([part.format(id=name) for name in [next(attempts)] for part in command]),
        lambda process: _kill_job(process, kb),
    )


def _killed_and_again(
    server: Server,
    corpus: Corpus,
    kb: str,
    start: Callable[[], "subprocess.Popen[bytes]"],
    kill: Callable[["subprocess.Popen[bytes]"], None],
    report: Path | None = None,
) -> str:
    """Start, kill with a third done, start again to the end; raises `AssertionError` with what was wrong.

    `report` is written by the second run and tells of files that were refused at the door, which leave no row.
    """
    first = start()
    try:
        wait_until(lambda: first.poll() is not None or len(_done(server, kb)) >= corpus.size // 3, 300)
        assert first.poll() is None, f"ended by itself with status {first.returncode} before it could be killed"
    finally:
        kill(first)
    before = _done(server, kb)
    second = start()
    status = second.wait(timeout=600)
    refused = _failures(report)
    wait_until(lambda: len({*map(_name, _done(server, kb)), *refused}) >= corpus.size, 120)
    after = _done(server, kb)
    redone = [name for name, row in before.items() if row["status"] == "indexed" and after[name] != row]
    assert not redone, f"{len(redone)} finished documents were done again: {redone[:3]}"
    return _compare(server, corpus, kb, after, refused) + f", killed after {len(before)}, exit {status}"


def _failures(report: Path | None) -> dict[str, str]:
    """File name -> reason, from a report; nothing where the run wrote none."""
    if report is None or not report.exists():
        return {}
    return {_name(failure["name"]): failure["reason"] for failure in json.loads(report.read_text())["failures"]}


def _compare(server: Server, corpus: Corpus, kb: str, after: dict[str, dict[str, Any]], refused: dict[str, str]) -> str:
    failed = refused | {_name(name): row["reason"] for name, row in after.items() if row["status"] == "failed"}
    indexed = {_name(name) for name, row in after.items() if row["status"] == "indexed"}
    silent = {name: reason for name, reason in corpus.broken.items() if name not in failed}
    wrong = {
        name: (reason, corpus.broken.get(name)) for name, reason in failed.items() if corpus.broken.get(name) != reason
    }
    assert indexed == corpus.good, f"good files not indexed: {sorted(corpus.good - indexed)[:5]}"
    assert not silent, f"broken files without a verdict: {silent}"
    assert not wrong, f"wrong reasons (got, expected): {wrong}"
    doubles = server.sql(DOUBLES, kb)[0]["doubles"]
    assert doubles == 0, f"{doubles} duplicate chunks"
    return f"{len(indexed)} indexed, {len(failed)} failed with the right reason"


def _done(server: Server, kb: str) -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in server.sql(STATE, kb) if row["status"] in {"indexed", "failed"}}


def _name(path: str) -> str:
    return path.rsplit("/", 1)[-1]


def _kill_group(process: "subprocess.Popen[bytes]") -> None:
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _kill_job(process: "subprocess.Popen[bytes]", kb: str) -> None:
    """Kill the submitting client and the job's driver process, found by its own command line."""
    _kill_group(process)
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            words = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue
        if "pipelines.index_documents" in words and kb in words:
            os.kill(int(entry.name), signal.SIGKILL)


def write_corpus(folder: Path, total: int) -> Corpus:
    """`total` files: every kind of broken one we know of, the rest sound."""
    manifest = mixed_corpus(folder, total - len(broken_files()))
    return Corpus(folder, frozenset(manifest.good), dict(manifest.broken))
