"""Parsing in a child process: a file that crashes, hangs or eats memory fails alone.

`ParserProcess` is one child, blocking; `IsolatedParser` lends such children to asyncio code. A child is a fresh
interpreter (no fork of our threads), kept warm, and replaced after a failure or `_MAX_FILES` files.
"""

import asyncio
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Self, TypeVar

from voicehelper.documents import frames
from voicehelper.documents.failures import failure, failure_reason
from voicehelper.documents.model import FailureReason, ParsedDocument, ParseLimits
from voicehelper.errors import Unavailable, UnprocessableDocument
from voicehelper.telemetry import get_logger

T = TypeVar("T")
log = get_logger(__name__)

_COMMAND = (sys.executable, "-m", "voicehelper.documents.parser_process")
_START_S = 60.0  # a busy machine imports slowly
_MAX_FILES = 500
_STEP = 2**20
_LAST_WORDS = (FailureReason.MEMORY, FailureReason.CRASH)
_TIME_SIGNALS = (-signal.SIGXCPU, -signal.SIGALRM)


class _ChildGoneError(Exception):
    """The child closed its pipe."""


class _DeadlineError(Exception):
    """The child did not answer in time."""


class ParserProcess:
    """One parser child. Not for two threads at once, except `kill`. `command` replaces the child in tests."""

    def __init__(self, limits: ParseLimits | None = None, command: Sequence[str] = _COMMAND) -> None:
        self._limits = limits or ParseLimits()
        self._command = command
        self._child: subprocess.Popen[bytes] | None = None
        self._files = 0
        self._spent = False  # the child is ending or must not be used again

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def parse(self, data: bytes | Path, name: str, content_type: str = "") -> ParsedDocument:
        """Parse one file, given as bytes or as a path the child can read.

        Raises `UnprocessableDocument` with a `FailureReason`, `Unavailable` when no child can be started.
        """
        return self._ask(frames.Task.PARSE, data, name, content_type, frames.decode_document)

    def inspect(self, data: bytes | Path, name: str, content_type: str = "") -> None:
        """Check one file quickly (`inspect_document`). Raises what `parse` does."""
        self._ask(frames.Task.INSPECT, data, name, content_type, frames.decode_inspected)

    def _ask(
        self, task: frames.Task, data: bytes | Path, name: str, content_type: str, decode: Callable[[bytes], T]
    ) -> T:
        reply = self._exchange(task, data, name, content_type)
        self._files += 1
        try:
            return decode(reply)
        except UnprocessableDocument as error:
            self._spent = failure_reason(error) in _LAST_WORDS
            raise

    def _exchange(self, task: frames.Task, data: bytes | Path, name: str, content_type: str) -> bytes:
        child = self._ready_child()
        deadline = time.monotonic() + self._limits.timeout_s
        path, content = (str(data.resolve()), b"") if isinstance(data, Path) else ("", data)
        head = frames.request_head(task, name, content_type, path, self._limits)
        try:
            _send(child, frames.REQUEST.pack(len(head), len(content)) + head, deadline)
            _send(child, content, deadline)
            (size,) = frames.REPLY.unpack(_receive(child, frames.REPLY.size, deadline))
            if size > frames.max_reply_bytes(self._limits):
                self.close()
                raise failure(FailureReason.TOO_LARGE)
            return _receive(child, size, deadline)
        except _DeadlineError:
            self.close()
            raise failure(FailureReason.TIMEOUT) from None
        except _ChildGoneError:
            raise self._cause_of_death(child) from None

    def kill(self) -> None:
        """End the child at once; a `parse` under way in another thread raises, the next one starts a new child."""
        child, self._spent = self._child, True
        if child is not None:
            child.kill()

    def close(self) -> None:
        """End the child and wait for it."""
        self.kill()
        self._forget()

    def _ready_child(self) -> subprocess.Popen[bytes]:
        if self._child is not None and (self._spent or self._child.poll() is not None or self._files >= _MAX_FILES):
            self.close()
        if self._child is None:
            self._child = _start(self._command)
            self._files, self._spent = 0, False
            try:
                _receive(self._child, len(frames.READY), time.monotonic() + _START_S)
            except (_ChildGoneError, _DeadlineError) as error:
                self.close()
                raise Unavailable("The document parser does not start") from error
        return self._child

    def _cause_of_death(self, child: subprocess.Popen[bytes]) -> Exception:
        code = child.wait()
        self._forget()
        log.warning("documents.parser_died", returncode=code)
        if code in _TIME_SIGNALS:
            return failure(FailureReason.TIMEOUT)
        # Nobody but the kernel's out-of-memory killer (or our own cancellation, which drops this error) sends SIGKILL.
        return failure(FailureReason.MEMORY if code == -signal.SIGKILL else FailureReason.CRASH)

    def _forget(self) -> None:
        child, self._child = self._child, None
        if child is not None:
            child.wait()
            for pipe in (child.stdin, child.stdout):
                if pipe is not None:
                    pipe.close()


class IsolatedParser:
    """Up to `workers` parser children for asyncio code, started when needed."""

    def __init__(self, limits: ParseLimits | None = None, workers: int = 1, command: Sequence[str] = _COMMAND) -> None:
        self._idle = [ParserProcess(limits, command) for _ in range(workers)]
        self._all = tuple(self._idle)
        self._free = asyncio.Semaphore(workers)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def parse(self, data: bytes | Path, name: str, content_type: str = "") -> ParsedDocument:
        """See `ParserProcess.parse`. Cancelling kills the child that works on the file."""
        return await self._lend(lambda process: process.parse(data, name, content_type))

    async def inspect(self, data: bytes | Path, name: str, content_type: str = "") -> None:
        """See `ParserProcess.inspect`. Cancelling kills the child that works on the file."""
        await self._lend(lambda process: process.inspect(data, name, content_type))

    async def _lend(self, use: Callable[[ParserProcess], T]) -> T:
        async with self._free:
            process = self._idle.pop()
            try:
                return await _in_thread(process, use)
            finally:
                self._idle.append(process)

    async def close(self) -> None:
        """End all children; files being parsed fail."""
        for process in self._all:
            process.kill()
        for process in self._all:
            await asyncio.to_thread(process.close)


async def parse_isolated(
    data: bytes | Path, name: str, content_type: str = "", limits: ParseLimits | None = None
) -> ParsedDocument:
    """Parse one file in a child of its own (0.3 s to start); `IsolatedParser` keeps its children for more."""
    async with IsolatedParser(limits) as parser:
        return await parser.parse(data, name, content_type)


async def _in_thread(process: ParserProcess, use: Callable[[ParserProcess], T]) -> T:
    work = asyncio.ensure_future(asyncio.to_thread(use, process))
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        process.kill()
        await asyncio.wait([work])
        if not work.cancelled():
            work.exception()  # seen: nobody waits for it any more
        raise


def _start(command: Sequence[str]) -> subprocess.Popen[bytes]:
    """A fresh interpreter with our import path and nothing else of our environment: it holds secrets."""
    environment = {
        "PYTHONPATH": os.pathsep.join(os.path.abspath(entry) for entry in sys.path),  # noqa: PTH100
        "PYTHONIOENCODING": "utf-8",
        "LC_ALL": "C.UTF-8",
    }
    return subprocess.Popen(  # noqa: S603  (our own module)
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment,
        cwd="/",
    )


def _send(child: subprocess.Popen[bytes], data: bytes, deadline: float) -> None:
    assert child.stdin is not None
    pipe = child.stdin.fileno()
    os.set_blocking(pipe, False)
    view = memoryview(data)
    while view:
        _wait(pipe, select.POLLOUT, deadline)
        try:
            view = view[os.write(pipe, view[:_STEP]) :]
        except BlockingIOError:
            continue
        except BrokenPipeError as error:
            raise _ChildGoneError from error


def _receive(child: subprocess.Popen[bytes], size: int, deadline: float) -> bytes:
    assert child.stdout is not None
    pipe = child.stdout.fileno()
    data = bytearray()
    while len(data) < size:
        _wait(pipe, select.POLLIN, deadline)
        part = os.read(pipe, min(_STEP, size - len(data)))
        if not part:
            raise _ChildGoneError
        data += part
    return bytes(data)


def _wait(pipe: int, event: int, deadline: float) -> None:
    poll = select.poll()
    poll.register(pipe, event)
    if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
        raise _DeadlineError
