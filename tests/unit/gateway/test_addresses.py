"""Whose address a request has, behind any number of proxies."""

from typing import Any

import pytest

from voicehelper.gateway.addresses import client_address, is_https


def scope(client: str | None, *forwarded: str, **more: Any) -> dict[str, Any]:
    headers = [(b"x-forwarded-for", value.encode("latin-1")) for value in forwarded]
    return {"client": (client, 1) if client else None, "headers": headers, "scheme": "http", **more}


@pytest.mark.parametrize(
    ("proxies", "client", "forwarded", "expected"),
    [
        (0, "192.0.2.1", ("203.0.113.9",), "192.0.2.1"),  # nobody vouches for it
        (0, None, (), ""),
        (0, "testclient", (), ""),
        (1, "10.0.0.1", ("203.0.113.9",), "203.0.113.9"),
        (1, "10.0.0.1", ("6.6.6.6, 203.0.113.9",), "203.0.113.9"),  # the first was invented by the client
        (1, "10.0.0.1", ("6.6.6.6", "203.0.113.9"), "203.0.113.9"),  # likewise, on a line of its own
        (2, "10.0.0.2", ("6.6.6.6, 203.0.113.9, 10.0.0.1",), "203.0.113.9"),
        (2, "10.0.0.2", ("203.0.113.9",), "203.0.113.9"),  # one proxy was passed by
        (1, "10.0.0.1", (), "10.0.0.1"),
        (1, "10.0.0.1", ("nonsense",), "10.0.0.1"),
        (1, "10.0.0.1", (" ,, ",), "10.0.0.1"),
        (1, "10.0.0.1", ("203.0.113.9:4711",), "203.0.113.9"),
        (1, "10.0.0.1", ("[2001:DB8::0:1]:4711",), "2001:db8::1"),
        (1, "10.0.0.1", ("2001:db8::1",), "2001:db8::1"),
        (1, "10.0.0.1", ("1" * 100_000,), "10.0.0.1"),
        (1, "10.0.0.1", ("\xff\xfe",), "10.0.0.1"),
    ],
)
def test_client_address(proxies: int, client: str | None, forwarded: tuple[str, ...], expected: str) -> None:
    assert client_address(scope(client, *forwarded), proxies) == expected


def test_https_is_believed_of_our_proxies_only() -> None:
    said = {"headers": [(b"x-forwarded-proto", b"https")], "scheme": "http"}
    assert not is_https(said, 0)
    assert is_https(said, 1)
    assert is_https({"headers": [], "scheme": "wss"}, 0)
    lied = {"headers": [(b"x-forwarded-proto", b"https, http")], "scheme": "http"}
    assert not is_https(lied, 1)
