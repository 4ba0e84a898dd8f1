"""Bounded logs, reachable folders, private files."""

import os
import stat
import threading
from pathlib import Path

import pytest

from voicehelper.embedded.logs import bound, follow, tail
from voicehelper.embedded.process import Account, blocked_at, reachable_copy, write_private

STRANGER = Account(65534, 65534)


def test_a_log_above_the_limit_moves_aside_and_its_writer_goes_on(tmp_path: Path) -> None:
    log = tmp_path / "x.log"
    with log.open("ab", buffering=0) as writer:
        writer.write(b"a" * 100)
        bound(tmp_path, max_bytes=1000)
        assert log.stat().st_size == 100
        writer.write(b"b" * 1000)
        bound(tmp_path, max_bytes=1000)
        writer.write(b"after\n")
    assert log.read_bytes() == b"after\n"
    assert (tmp_path / "x.log.1").stat().st_size == 1100


def test_tail_gives_the_last_lines(tmp_path: Path) -> None:
    (tmp_path / "x.log").write_text("1\n2\n3\n")
    assert tail(tmp_path / "x.log", 2) == ["2", "3"]
    assert tail(tmp_path / "none.log", 2) == []


def test_follow_gives_whole_new_lines_also_after_a_truncation(tmp_path: Path) -> None:
    log = tmp_path / "x.log"
    log.write_text("old old old\n")
    lines = follow([log], pause=0.01)
    append = threading.Timer(0.05, lambda: log.open("a").write("new\nha"))
    append.start()
    assert next(lines) == (log, "new")  # not "ha": its line is not finished
    log.write_text("one\n")
    assert next(lines) == (log, "one")


def test_a_private_folder_blocks_another_account(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    assert blocked_at(tmp_path / "data", None) is None
    if os.geteuid() != STRANGER.uid:
        assert blocked_at(tmp_path / "data", STRANGER) is not None


def test_unreachable_binaries_are_copied_once_and_made_readable(tmp_path: Path) -> None:
    source = tmp_path / "private" / "install"
    (source / "bin").mkdir(parents=True)
    (source / "bin" / "tool").write_text("x")
    (source / "bin" / "tool").chmod(0o700)
    source.parent.chmod(0o700)
    assert reachable_copy(source, tmp_path / "copy", None) == source
    copied = reachable_copy(source, tmp_path / "copy", STRANGER)
    assert copied == tmp_path / "copy" / "install"
    assert stat.S_IMODE((copied / "bin" / "tool").stat().st_mode) == 0o755
    assert reachable_copy(source, tmp_path / "copy", STRANGER) == copied


def test_private_files_are_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    write_private(path, "one")
    write_private(path, "two")
    assert path.read_text() == "two"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("missing", ["a", "a/b/c"])
def test_folders_that_do_not_exist_yet_block_nobody(missing: str) -> None:
    assert blocked_at(Path("/") / f"voicehelper-{missing}" / "data", STRANGER) is None
