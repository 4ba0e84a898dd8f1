"""Choosing TCP ports on the loopback."""

import socket
from collections.abc import Callable, Collection


def is_free(port: int, host: str = "127.0.0.1") -> bool:
    """Whether `port` could be listened on now."""
    with socket.socket() as probe:
        # As servers do: a port whose last connections linger in TIME_WAIT counts as free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
        return True


def choose_port(preferred: int, taken: Collection[int] = (), free: Callable[[int], bool] = is_free) -> int:
    """`preferred`, or the next port above it that is free and not in `taken`.

    Raises:
        OSError: 200 ports in a row are in use.
    """
    for port in range(preferred, min(preferred + 200, 65536)):
        if port not in taken and free(port):
            return port
    raise OSError(f"No free port in {preferred}-{preferred + 199}")


def random_port() -> int:
    """A port the kernel says is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
