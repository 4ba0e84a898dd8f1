"""One account's session with one server: logs in by itself, remembers its token, turns errors into words."""

import json
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self, TypeVar
from urllib.parse import urlsplit

import httpx
from pydantic import TypeAdapter, ValidationError

from voicehelper.identity.admin import AdminCredentials
from voicehelper.identity.files import replace_secret
from voicehelper.wire.common import ErrorBody
from voicehelper.wire.identity import TokenView

T = TypeVar("T")
_TIMEOUT = httpx.Timeout(60.0, connect=5.0)


class ClientError(Exception):
    """Something to tell the user in one line."""


class ServerDown(ClientError):
    """Nobody listens at the address."""


class ApiError(ClientError):
    """The server answered with an error."""

    def __init__(self, status: int, body: ErrorBody) -> None:
        super().__init__(status, body)
        self.status = status
        self.body = body

    def __str__(self) -> str:
        reason = self.body.details.get("reason", "")
        shown = f": {reason}" if reason and reason != self.body.message else ""
        return f"{self.body.message}{shown} (code {self.body.code}, trace {self.body.trace_id})"


class Session:
    """What `ApiClient` stands on. Use as a context manager. Threads may share it."""

    def __init__(
        self,
        base_url: str,
        credentials: AdminCredentials | None = None,
        token_file: Path | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        # An HTTP proxy of the environment is not asked for the way to this very machine.
        loopback = urlsplit(base_url).hostname in {"127.0.0.1", "localhost", "::1"}
        self._http = httpx.Client(base_url=base_url, timeout=_TIMEOUT, trust_env=not loopback, transport=transport)
        self._credentials = credentials
        self._token_file = token_file
        self._token = ""
        self._refresh_token = ""
        self._refused: ApiError | None = None
        self._renewing = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close connections."""
        self._http.close()

    def _call(
        self,
        kind: type[T],
        method: str,
        path: str,
        body: Mapping[str, object] | None = None,
        *,
        query: Mapping[str, str] | None = None,
        login: bool = True,
        timeout: httpx.Timeout = _TIMEOUT,
    ) -> T:
        return parsed(kind, self._request(method, path, body, query=query, login=login, timeout=timeout))

    def _request(
        self,
        method: str,
        path: str,
        body: Mapping[str, object] | None = None,
        *,
        files: Mapping[str, tuple[str, BinaryIO, str]] | None = None,
        query: Mapping[str, str] | None = None,
        login: bool = True,
        timeout: httpx.Timeout = _TIMEOUT,
    ) -> httpx.Response:
        def send(token: str) -> httpx.Response:
            headers = _bearer(token) if login else {}
            return self._send(
                self._http.build_request(
                    method, path, json=body, files=files, params=query, headers=headers, timeout=timeout
                )
            )

        token = self._current_token() if login else ""
        response = send(token)
        if login and response.status_code == 401:  # the token expired during a long run
            token = self._renew(token)
            for _, file, _ in (files or {}).values():
                file.seek(0)
            response = send(token)
        if response.is_error:
            raise api_error(response)
        return response

    def _send(self, request: httpx.Request, stream: bool = False) -> httpx.Response:
        try:
            return self._http.send(request, stream=stream)
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise ServerDown(f"Nobody answers at {self._http.base_url}: start it with `voicehelper up`") from error
        except httpx.TransportError as error:
            raise ClientError(f"The connection failed: {error or type(error).__name__}") from error

    def _authorization(self) -> dict[str, str]:
        return _bearer(self._current_token())

    def _current_token(self) -> str:
        with self._renewing:
            if not self._token:
                self._token = self._cached_token() or self._login()
            return self._token

    def _renew(self, stale: str) -> str:
        """A token instead of `stale`, which the server refuses; of several threads one fetches it."""
        with self._renewing:
            if self._token == stale:
                self._token = self._refreshed() or self._login()
            return self._token

    def _refreshed(self) -> str:
        """A token for the refresh token of this session; empty where there is none, or the session has ended."""
        if not self._refresh_token:
            return ""
        body = {"refresh_token": self._refresh_token}
        try:
            return self._keep(self._call(TokenView, "POST", "/api/v1/auth/refresh", body, login=False))
        except ApiError as error:
            if error.status != 401:
                raise
            return ""

    def _login(self) -> str:
        if self._credentials is None:
            raise ClientError("No account: run `voicehelper up`, or give --email and --password")
        if self._refused is not None:
            raise self._refused
        self._refresh_token = ""
        body = {"email": self._credentials.email, "password": self._credentials.password}
        try:
            return self._keep(self._call(TokenView, "POST", "/api/v1/auth/login", body, login=False))
        except ApiError as error:
            if error.status == 401:
                self._refused = error  # other threads must not try as well: five failures lock the account
            raise

    def _keep(self, pair: TokenView) -> str:
        """Remember `pair`; the refresh token, which is good for one use, in this process alone."""
        self._refresh_token = pair.refresh_token
        if self._token_file is not None and self._credentials is not None:
            known = {"url": str(self._http.base_url), "email": self._credentials.email, "token": pair.access_token}
            with suppress(OSError):  # a cache only
                replace_secret(self._token_file, json.dumps(known).encode())
        return pair.access_token

    def _cached_token(self) -> str:
        """The token of the last login to this server with this account, if the server still takes it."""
        try:
            known = json.loads(self._token_file.read_text()) if self._token_file else {}
            email = self._credentials.email if self._credentials else ""
            if (known["url"], known["email"]) != (str(self._http.base_url), email):
                return ""
            token = str(known["token"])
        except (OSError, ValueError, KeyError, TypeError):
            return ""
        request = self._http.build_request("GET", "/api/v1/me", headers=_bearer(token))
        return token if self._send(request).is_success else ""


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def parsed(kind: type[T], response: httpx.Response) -> T:
    """The body of a good response. Raises `ClientError` when it is none of ours."""
    try:
        return TypeAdapter(kind).validate_json(response.content)
    except ValidationError as error:
        raise ClientError(f"This is no VoiceHelper of our version: {response.url}") from error


def api_error(response: httpx.Response) -> ClientError:
    """What an error response says."""
    try:
        return ApiError(response.status_code, ErrorBody.model_validate_json(response.content))
    except ValidationError:
        return ClientError(f"{response.url} answered {response.status_code}, and not as a VoiceHelper does")
