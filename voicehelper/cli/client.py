"""The HTTP client behind `ask`, `index` and `up`: logs in by itself, speaks in the bodies of `voicehelper.wire`."""

import json
from collections.abc import Generator, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self, TypeVar
from urllib.parse import urlsplit
from uuid import UUID

import httpx
from pydantic import TypeAdapter, ValidationError

from voicehelper.cli.sse import ServerEvent, read_events
from voicehelper.config import Settings
from voicehelper.embedded.instance import open_instance
from voicehelper.identity.admin import AdminCredentials, credentials_file, read_credentials
from voicehelper.identity.files import replace_secret
from voicehelper.wire.common import ErrorBody, Page
from voicehelper.wire.conversations import ConversationView, MessageView, TurnView
from voicehelper.wire.identity import MeView, TokenView
from voicehelper.wire.knowledge import BaseView, DocumentStatusView, DocumentView
from voicehelper.wire.operations import ReadyView
from voicehelper.wire.search import SearchView

T = TypeVar("T")
_TIMEOUT = httpx.Timeout(60.0, connect=5.0)
_ANSWER_TIMEOUT = httpx.Timeout(150.0, connect=5.0)  # the server gives up, and says so, before that


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


class ApiClient:
    """One server, one account. Use as a context manager. Threads may share it.

    Every method raises `ServerDown` when nobody listens and `ApiError` for an error response.
    """

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

    @classmethod
    def from_settings(
        cls, settings: Settings, email: str | None = None, password: str | None = None, base_url: str | None = None
    ) -> Self:
        """The local installation, or `base_url`; the account of `<home>/keys/admin.json` unless one is given."""
        if email and password:
            credentials: AdminCredentials | None = AdminCredentials(email, password)
        else:
            credentials = read_credentials(credentials_file(settings))
        return cls(base_url or local_url(settings), credentials, settings.home / "keys" / "token.json")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close connections."""
        self._http.close()

    def ready(self) -> ReadyView:
        """State of the engines. Raises `ApiError` (503) while one is missing."""
        return self._call(ReadyView, "GET", "/ready", login=False)

    def me(self) -> MeView:
        """The account."""
        return self._call(MeView, "GET", "/api/v1/me")

    def bases(self) -> list[BaseView]:
        """All knowledge bases."""
        return list(self._pages(BaseView, "/api/v1/knowledge/bases", {}))

    def create_base(self, name: str, description: str = "") -> BaseView:
        """A new knowledge base."""
        return self._call(BaseView, "POST", "/api/v1/knowledge/bases", {"name": name, "description": description})

    def ensure_base(self, name: str, description: str = "") -> BaseView:
        """The knowledge base of this name, created if it is not there."""
        try:
            return self.create_base(name, description)
        except ApiError as error:
            found = [base for base in self.bases() if base.name == name] if error.status == 409 else []
            if not found:
                raise
            return found[0]

    def delete_base(self, kb_id: UUID) -> None:
        """Delete a knowledge base with its documents."""
        self._request("DELETE", f"/api/v1/knowledge/bases/{kb_id}")

    def upload(self, kb_id: UUID, name: str, file: BinaryIO, content_type: str = "") -> DocumentView:
        """Send a file; it is read as it is sent."""
        files = {"file": (name, file, content_type or "application/octet-stream")}
        response = self._request("POST", f"/api/v1/knowledge/bases/{kb_id}/documents", files=files)
        return _parsed(DocumentView, response)

    def documents(self, kb_id: UUID, status: str | None = None) -> Iterator[DocumentView]:
        """Documents of a knowledge base, newest first, optionally of one status."""
        query = {"status": status} if status else {}
        return self._pages(DocumentView, f"/api/v1/knowledge/bases/{kb_id}/documents", query)

    def document_status(self, document_id: UUID) -> DocumentStatusView:
        """How far indexing is."""
        return self._call(DocumentStatusView, "GET", f"/api/v1/knowledge/documents/{document_id}/status")

    def delete_document(self, document_id: UUID) -> None:
        """Delete a document."""
        self._request("DELETE", f"/api/v1/knowledge/documents/{document_id}")

    def search(self, query: str, bases: list[str] | None = None, top_k: int | None = None) -> SearchView:
        """Passages for `query` with the scores of each stage."""
        body = {"query": query, "knowledge_bases": bases or [], "top_k": top_k}
        return self._call(SearchView, "POST", "/api/v1/search", body)

    def create_conversation(self, bases: list[str] | None = None) -> ConversationView:
        """A new conversation over `bases` (ids or names; none: all)."""
        return self._call(ConversationView, "POST", "/api/v1/conversations", {"knowledge_bases": bases or []})

    def conversations(self, limit: int = 50) -> list[ConversationView]:
        """The latest conversations."""
        page = self._call(Page[ConversationView], "GET", "/api/v1/conversations", query={"limit": str(limit)})
        return page.items

    def messages(self, conversation_id: UUID) -> list[MessageView]:
        """The first 200 messages of a conversation."""
        path = f"/api/v1/conversations/{conversation_id}/messages"
        return self._call(Page[MessageView], "GET", path, query={"limit": "200"}).items

    def ask(self, conversation_id: UUID, content: str, bases: list[str] | None = None) -> TurnView:
        """The whole answer at once."""
        path = f"/api/v1/conversations/{conversation_id}/messages"
        body = {"content": content, "knowledge_bases": bases}
        return self._call(TurnView, "POST", path, body, timeout=_ANSWER_TIMEOUT)

    def stream(
        self, conversation_id: UUID, content: str, bases: list[str] | None = None
    ) -> Generator[ServerEvent, None, None]:
        """The answer's events as they come; the last is `message.completed` or `error`.

        Closing the generator stops the answer. Raises `ClientError` when the stream breaks off.
        """
        path = f"/api/v1/conversations/{conversation_id}/messages"
        body = {"content": content, "knowledge_bases": bases, "stream": True}
        ended = False
        request = self._http.build_request(
            "POST", path, json=body, headers=self._authorization(), timeout=_ANSWER_TIMEOUT
        )
        response = self._send(request, stream=True)
        try:
            if response.is_error:
                response.read()
                raise _api_error(response)
            for event in read_events(response.iter_lines()):
                ended = event.name in {"message.completed", "error"}
                yield event
        except httpx.TransportError as error:
            raise ClientError(f"The connection broke off: {error}") from error
        finally:
            response.close()
        if not ended:
            raise ClientError("The stream ended before the answer did")

    def _pages(self, kind: type[T], path: str, query: Mapping[str, str]) -> Iterator[T]:
        cursor: str | None = None
        while True:
            page_query = {**query, "limit": "200", **({"cursor": cursor} if cursor else {})}
            page = self._call(Page[kind], "GET", path, query=page_query)  # type: ignore[valid-type]
            yield from page.items
            cursor = page.next_cursor
            if cursor is None:
                return

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
        return _parsed(kind, self._request(method, path, body, query=query, login=login, timeout=timeout))

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
        def send() -> httpx.Response:
            headers = self._authorization() if login else {}
            return self._send(
                self._http.build_request(
                    method, path, json=body, files=files, params=query, headers=headers, timeout=timeout
                )
            )

        response = send()
        if login and response.status_code == 401:  # the token expired during a long run
            self._token = self._login()
            for _, file, _ in (files or {}).values():
                file.seek(0)
            response = send()
        if response.is_error:
            raise _api_error(response)
        return response

    def _send(self, request: httpx.Request, stream: bool = False) -> httpx.Response:
        try:
            return self._http.send(request, stream=stream)
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise ServerDown(f"Nobody answers at {self._http.base_url}: start it with `voicehelper up`") from error
        except httpx.TransportError as error:
            raise ClientError(f"The connection failed: {error or type(error).__name__}") from error

    def _authorization(self) -> dict[str, str]:
        if not self._token:
            self._token = self._cached_token() or self._login()
        return {"Authorization": f"Bearer {self._token}"}

    def _login(self) -> str:
        if self._credentials is None:
            raise ClientError("No account: run `voicehelper up`, or give --email and --password")
        body = {"email": self._credentials.email, "password": self._credentials.password}
        token = self._call(TokenView, "POST", "/api/v1/auth/login", body, login=False).access_token
        if self._token_file is not None:
            content = json.dumps({"url": str(self._http.base_url), "email": self._credentials.email, "token": token})
            with suppress(OSError):  # a cache only
                replace_secret(self._token_file, content.encode())
        return token

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
        headers = {"Authorization": f"Bearer {token}"}
        return token if self._send(self._http.build_request("GET", "/api/v1/me", headers=headers)).is_success else ""


def local_url(settings: Settings) -> str:
    """Where this machine's installation listens."""
    instance = open_instance(settings)
    if instance is not None:
        return instance.http_url
    host = "127.0.0.1" if settings.http.host in {"0.0.0.0", ""} else settings.http.host  # noqa: S104 - compared
    return f"http://{host}:{settings.http.port}"


def _parsed(kind: type[T], response: httpx.Response) -> T:
    try:
        return TypeAdapter(kind).validate_json(response.content)
    except ValidationError as error:
        raise ClientError(f"This is no VoiceHelper of our version: {response.url}") from error


def _api_error(response: httpx.Response) -> ClientError:
    try:
        return ApiError(response.status_code, ErrorBody.model_validate_json(response.content))
    except ValidationError:
        return ClientError(f"{response.url} answered {response.status_code}, and not as a VoiceHelper does")
