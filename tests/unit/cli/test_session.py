"""The command line's session: one login for all threads, refresh before password, no guessing with a stale one."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import UUID

import httpx
import pytest

from voicehelper.cli.client import ApiClient
from voicehelper.cli.session import ApiError, ClientError
from voicehelper.identity.admin import AdminCredentials

ME = {
    "id": str(UUID(int=1)),
    "tenant_id": str(UUID(int=2)),
    "email": "a@b",
    "name": "",
    "role": "owner",
    "permissions": [],
}
REFUSED = {"code": 40102, "message": "no", "details": {}, "trace_id": "0" * 32}


class FakeServer:
    """Knows one password; a token is good until `expire`."""

    def __init__(self, password: str = "right") -> None:
        self.password = password
        self.good = ""
        self.refresh = ""
        self.calls: list[str] = []
        self._issued = 0

    def expire(self) -> None:
        self.good = ""

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.calls.append(request.url.path)
        if request.url.path.startswith("/api/v1/auth/"):
            return self._login(json.loads(request.content))
        if request.headers["authorization"] != f"Bearer {self.good}":
            return httpx.Response(401, json=REFUSED)
        return httpx.Response(200, json=ME)

    def _login(self, body: dict[str, str]) -> httpx.Response:
        if body.get("password") != self.password and body.get("refresh_token", "") not in {self.refresh} - {""}:
            return httpx.Response(401, json=REFUSED)
        self._issued += 1
        self.good, self.refresh = f"access{self._issued}", f"refresh{self._issued}"
        pair = {"access_token": self.good, "refresh_token": self.refresh, "expires_in": 60, "refresh_expires_in": 60}
        return httpx.Response(200, json=pair)

    def count(self, path: str) -> int:
        return self.calls.count(f"/api/v1/auth/{path}")


def client(server: FakeServer, token_file: Path | None = None) -> ApiClient:
    return ApiClient("http://test", AdminCredentials("a@b", "right"), token_file, httpx.MockTransport(server))


def test_many_threads_log_in_once_and_refresh_once() -> None:
    server = FakeServer()
    with client(server) as api, ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda _: api.me(), range(16)))
        assert (server.count("login"), server.count("refresh")) == (1, 0)
        server.expire()
        list(threads.map(lambda _: api.me(), range(16)))
    assert (server.count("login"), server.count("refresh")) == (1, 1)


def test_an_ended_session_logs_in_again() -> None:
    server = FakeServer()
    with client(server) as api:
        api.me()
        server.expire()
        server.refresh = ""
        api.me()
    assert (server.count("login"), server.count("refresh")) == (2, 1)


def test_a_wrong_password_is_tried_once() -> None:
    server = FakeServer(password="changed meanwhile")
    with client(server) as api, ThreadPoolExecutor(8) as threads:
        futures = [threads.submit(api.me) for _ in range(16)]
        failures = [future.exception() for future in futures]
    assert server.count("login") == 1
    assert all(isinstance(failure, ApiError) for failure in failures)


def test_a_token_outlives_the_command_but_a_refresh_token_does_not(tmp_path: Path) -> None:
    server, file = FakeServer(), tmp_path / "token.json"
    with client(server, file) as api:
        api.me()
    assert "refresh" not in file.read_text()
    with client(server, file) as api:
        api.me()
    assert server.count("login") == 1
    server.expire()
    with client(server, file) as api:
        api.me()
    assert server.count("login") == 2


def test_no_account_is_told_plainly() -> None:
    api = ApiClient("http://test", None, None, httpx.MockTransport(FakeServer()))
    with api, pytest.raises(ClientError, match="No account"):
        api.me()
