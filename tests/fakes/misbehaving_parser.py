"""A parser child whose parsing goes wrong on purpose, by file name; everything around it is the real child."""

import ctypes
import os
import signal
import socket
import sys
import tempfile
import time

from voicehelper.documents import parser_process
from voicehelper.documents.model import Block, ParsedDocument, ParseLimits


def misbehave(data: bytes, name: str, content_type: str, limits: ParseLimits) -> ParsedDocument:
    match name.removesuffix(".txt"):
        case "segfault":
            ctypes.string_at(0)
        case "spin":
            while True:
                pass
        case "sleep":
            time.sleep(3600)
        case "memory":
            return ParsedDocument((Block("x" * len(bytearray(limits.memory_bytes * 2))),))
        case "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        case "exit":
            os._exit(3)
        case "recursion":
            misbehave(data, name, content_type, limits)
        case "odd-error":
            raise ZeroDivisionError
        case "network":
            socket.create_connection(("127.0.0.1", 9))
        case "write":
            with tempfile.TemporaryFile() as file:
                file.write(b"x")
        case "prints":
            print("noise on standard output", flush=True)
            os.write(1, b"more noise")
        case "large":
            return ParsedDocument((Block("x" * (limits.max_text_chars * 20 + 2**22)),))
        case "pid":
            return ParsedDocument((Block(str(os.getpid())),))
        case "environment":
            return ParsedDocument((Block(repr(sorted(os.environ))),))
    return ParsedDocument((Block(data.decode()),))


if __name__ == "__main__":
    sys.setrecursionlimit(500)
    parser_process.parse_document = misbehave  # type: ignore[assignment]
    parser_process.main()
