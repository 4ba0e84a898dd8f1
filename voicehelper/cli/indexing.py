"""What `voicehelper index` does, without the terminal: compare, upload, follow."""

import hashlib
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar
from uuid import UUID

from voicehelper.cli.client import ApiClient, ApiError, ClientError
from voicehelper.documents.model import FailureReason
from voicehelper.wire.knowledge import DocumentView

T = TypeVar("T")

PATIENCE_S = 120.0
"""A server that restarts is waited for this long, by each upload and by each look at the states."""

POLL_S = 0.5
PACE_S = 0.12
"""Between two looks on the average, so that they stay below the server's limit for one user."""
ASKED_AT_ONCE = 25
_RETRIED = {429, 502, 503, 504}
_REASONS = {
    40004: FailureReason.EMPTY,
    41301: FailureReason.TOO_LARGE,
    41501: FailureReason.UNSUPPORTED,
}
_WORDS = frozenset(FailureReason)


@dataclass
class Result:
    """What became of the files, by name. `failures` holds reason and message; `waiting` are being indexed."""

    indexed: set[str] = field(default_factory=set)
    unchanged: set[str] = field(default_factory=set)
    failures: dict[str, tuple[str, str]] = field(default_factory=dict)
    waiting: dict[UUID, str] = field(default_factory=dict)

    @property
    def unfinished(self) -> set[str]:
        """Files the server has accepted, of which it is not known how they ended."""
        return set(self.waiting.values())

    @property
    def ended(self) -> int:
        """Files that are searchable or failed."""
        return len(self.indexed) + len(self.unchanged) + len(self.failures)

    @property
    def answered(self) -> int:
        """Files the server has, or refused."""
        return self.ended + len(self.waiting)


class FolderUpload:
    """Brings one folder into one knowledge base. `show` is told of every step."""

    def __init__(self, client: ApiClient, kb_id: UUID, show: Callable[[Result], None]) -> None:
        self._client = client
        self._kb_id = kb_id
        self._show = show
        self._result = Result()
        self._lock = threading.Lock()

    def run(self, folder: Path, files: Sequence[str], uploads: int, wait: bool) -> Result:
        """Upload `files` (paths below `folder`), wait for them, say what became of them. Raises `ClientError`."""
        known = {document.name: document for document in self._client.documents(self._kb_id)}
        with ThreadPoolExecutor(uploads, thread_name_prefix="upload") as pool:
            work = [pool.submit(self._bring, folder, name, known) for name in files]
            try:
                for future in work:
                    future.result()
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
        if wait:
            self._follow()
        return self._result

    def _bring(self, folder: Path, name: str, known: Mapping[str, DocumentView]) -> None:
        """One file: leave it, send it, or note why it cannot be sent."""
        path = folder / name
        try:
            document = known.get(name)
            if document is None or document.status == "failed" or document.sha256 != _digest(path):
                document = self._send(path, name)
            elif document.status == "indexed":
                self._note(lambda result: result.unchanged.add(name))
                return
            found = document
        except OSError as error:
            self._fail(name, "unreadable", error.strerror or type(error).__name__)
        except ApiError as error:
            self._fail(name, _reason(error), error.body.message)
        else:
            self._note(lambda result: result.waiting.__setitem__(found.id, name))

    def _send(self, path: Path, name: str) -> DocumentView:
        def send() -> DocumentView:
            with path.open("rb") as file:
                return self._client.upload(self._kb_id, name, file)

        return _patiently(send)

    def _follow(self) -> None:
        """Ask for the states of what waits, round and round, until nothing does."""
        queue = deque(self._result.waiting)
        while queue:
            before = len(queue)
            asked = min(ASKED_AT_ONCE, before)
            for _ in range(asked):
                if not self._ended(document_id := queue.popleft()):
                    queue.append(document_id)
            time.sleep(max(POLL_S if len(queue) == before else 0.0, asked * PACE_S if queue else 0.0))

    def _ended(self, document_id: UUID) -> bool:
        name = self._result.waiting[document_id]
        try:
            state = _patiently(lambda: self._client.document_status(document_id))
        except ApiError as error:
            if error.status != 404:
                raise
            self._end(document_id, lambda result: result.failures.update({name: ("deleted", "Deleted meanwhile")}))
            return True
        if state.status == "indexed":
            self._end(document_id, lambda result: result.indexed.add(name))
        elif state.status == "failed":
            self._end(document_id, lambda result: result.failures.update({name: (state.reason, state.error)}))
        return state.status in ("indexed", "failed")

    def _end(self, document_id: UUID, change: Callable[[Result], object]) -> None:
        del self._result.waiting[document_id]
        self._note(change)

    def _fail(self, name: str, reason: str, error: str) -> None:
        self._note(lambda result: result.failures.update({name: (str(reason), error)}))

    def _note(self, change: Callable[[Result], object]) -> None:
        with self._lock:
            change(self._result)
            self._show(self._result)


def _reason(error: ApiError) -> str:
    """The stable word of a refusal; `refused` where it has none."""
    given = str(error.body.details.get("reason", ""))
    return given if given in _WORDS else _REASONS.get(error.body.code, "refused")


def list_files(folder: Path) -> list[str]:
    """Paths of the files below `folder`, sorted, with forward slashes, without hidden ones."""
    found = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return sorted(path.as_posix() for path in found if not any(part.startswith(".") for part in path.parts))


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _patiently(call: Callable[[], T]) -> T:
    """The result of `call`, tried again while the server is busy, restarting or away."""
    deadline = time.monotonic() + PATIENCE_S
    attempt = 0
    while True:
        try:
            return call()
        except ClientError as error:
            if isinstance(error, ApiError) and error.status not in _RETRIED:
                raise
            if time.monotonic() > deadline:
                raise
        time.sleep(min(5.0, 0.2 * 2**attempt) * random.uniform(0.8, 1.2))  # noqa: S311 - spreads retries
        attempt += 1
