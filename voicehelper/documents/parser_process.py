"""The child that parses files of strangers: `python -m voicehelper.documents.parser_process`.

It reads requests from standard input and answers on standard output until its input ends. Before each file it limits
its own memory, CPU and wall time, so that it also ends when the parent has gone; it can neither write files, start
processes nor open sockets from Python. One file after which it can no longer be trusted (out of memory) is its last.
"""

import json
import os
import resource
import signal
import sys
from pathlib import Path
from typing import Any, BinaryIO

from voicehelper.documents import frames
from voicehelper.documents.failures import failure, failure_reason
from voicehelper.documents.formats import Format
from voicehelper.documents.model import FailureReason, ParseLimits
from voicehelper.documents.parsers.registry import inspect_document, parse_document, parser_for
from voicehelper.errors import UnprocessableDocument

_FORBIDDEN = (
    "socket.connect",
    "socket.bind",
    "socket.getaddrinfo",
    "subprocess.Popen",
    "os.exec",
    "os.fork",
    "os.system",
)
_GRACE_S = 5  # the parent's own deadline comes first; these limits are for a child without parent
_PAGE_SIZE = resource.getpagesize()


def main() -> None:
    """Serve requests until end of input."""
    requests = os.fdopen(os.dup(0), "rb")
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_RDWR), 0)
    os.dup2(2, 1)  # what a library prints must not be taken for a reply
    for kind in Format:
        parser_for(kind)
    _lock_down()
    _write(replies, frames.READY)
    while head := requests.read(frames.REQUEST.size):
        body, trusted = _serve(head, requests)
        _write(replies, frames.REPLY.pack(len(body)) + body)
        if not trusted:
            return


def _write(replies: BinaryIO, data: bytes) -> None:
    replies.write(data)
    replies.flush()


def _lock_down() -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))

    def refuse(event: str, _: tuple[Any, ...]) -> None:
        if event in _FORBIDDEN:
            raise PermissionError(f"{event} is not allowed while parsing")

    sys.addaudithook(refuse)


def _serve(head: bytes, requests: BinaryIO) -> tuple[bytes, bool]:
    """The reply to one request, and whether this process may take another."""
    head_size, data_size = frames.REQUEST.unpack(head)
    request = json.loads(requests.read(head_size))
    limits = ParseLimits(**request["limits"])
    _limit(limits, data_size)
    try:
        data = _content(request["path"], data_size, requests)
        if request["task"] == frames.Task.INSPECT:
            inspect_document(data, request["name"], request["content_type"], limits)
            return frames.encode_inspected(), True
        parsed = parse_document(data, request["name"], request["content_type"], limits)
        return frames.encode_document(parsed), True
    except UnprocessableDocument as error:
        return frames.encode_failure(failure_reason(error), error.message), True
    except MemoryError:
        return frames.encode_failure(FailureReason.MEMORY), False
    except RecursionError:
        return frames.encode_failure(FailureReason.CORRUPT), True
    except Exception as error:  # noqa: BLE001  (whatever a parser trips over is the file's failure, not the queue's)
        return frames.encode_failure(FailureReason.CORRUPT, f"The file cannot be read ({type(error).__name__})"), True
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _content(path: str, size: int, requests: BinaryIO) -> bytes:
    """The file. Where it cannot be read, that says nothing against it: reason INTERNAL."""
    if not path:
        return requests.read(size)
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise failure(FailureReason.INTERNAL) from error


def _limit(limits: ParseLimits, data_size: int) -> None:
    used = resource.getrusage(resource.RUSAGE_SELF)
    cpu = int(used.ru_utime + used.ru_stime + limits.timeout_s) + _GRACE_S
    resource.setrlimit(resource.RLIMIT_CPU, (cpu, resource.RLIM_INFINITY))
    signal.setitimer(signal.ITIMER_REAL, limits.timeout_s + _GRACE_S)
    space = int(Path("/proc/self/statm").read_text().split()[0]) * _PAGE_SIZE
    resource.setrlimit(resource.RLIMIT_AS, (space + data_size + limits.memory_bytes, resource.RLIM_INFINITY))


if __name__ == "__main__":
    main()
