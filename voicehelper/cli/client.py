"""The HTTP client behind `ask`, `index` and `up`: speaks in the bodies of `voicehelper.wire`."""

from collections.abc import Generator, Iterator, Mapping
from typing import BinaryIO, Self, TypeVar
from uuid import UUID

import httpx

from voicehelper.cli.session import ApiError, ClientError, ServerDown, Session, api_error, parsed
from voicehelper.cli.sse import ServerEvent, read_events, split_lines
from voicehelper.config import Settings
from voicehelper.embedded.instance import open_instance
from voicehelper.identity.admin import AdminCredentials, credentials_file, read_credentials
from voicehelper.wire.common import Page
from voicehelper.wire.conversations import ConversationView, MessageView, TurnView
from voicehelper.wire.identity import MeView
from voicehelper.wire.knowledge import BaseView, DocumentStatusView, DocumentView
from voicehelper.wire.operations import ReadyView
from voicehelper.wire.search import SearchView

__all__ = ["ApiClient", "ApiError", "ClientError", "ServerDown", "local_url"]

T = TypeVar("T")
_ANSWER_TIMEOUT = httpx.Timeout(150.0, connect=5.0)  # the server gives up, and says so, before that


class ApiClient(Session):
    """One server, one account.

    Every method raises `ServerDown` when nobody listens and `ApiError` for an error response.
    """

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
        return parsed(DocumentView, response)

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
                raise api_error(response)
            for event in read_events(split_lines(response.iter_text())):
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


def local_url(settings: Settings) -> str:
    """Where this machine's installation listens."""
    instance = open_instance(settings)
    if instance is not None:
        return instance.http_url
    host = "127.0.0.1" if settings.http.host in {"0.0.0.0", ""} else settings.http.host  # noqa: S104 - compared
    return f"http://{host}:{settings.http.port}"
