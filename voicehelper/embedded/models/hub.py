"""Files from a model hub: over HTTP, resumed by range."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import httpx
from huggingface_hub import constants, hf_hub_url
from huggingface_hub.utils._headers import build_hf_headers

from voicehelper.embedded.models.errors import SourceFailed
from voicehelper.embedded.models.job import Job
from voicehelper.embedded.models.manifest import HubSource, ModelEntry

PROBE_S = 4.0
TIMEOUT = httpx.Timeout(30.0, connect=PROBE_S)
ATTEMPTS = 4
BACKOFF_S = 0.5


class Hub:
    """The model hub during one run. Whether it can be reached is found out once, and quickly.

    Args:
        endpoint: base URL; None for huggingface_hub's own (its HF_ENDPOINT names a mirror).
    """

    def __init__(self, endpoint: str | None = None) -> None:
        self.endpoint = endpoint or constants.ENDPOINT
        self._lock = threading.Lock()
        self._why_not: str | None = None
        self._probed = False

    def ensure_reachable(self) -> None:
        """Raise `SourceFailed` when nothing answers at the endpoint."""
        with self._lock:
            if not self._probed:
                self._why_not = "offline by HF_HUB_OFFLINE" if constants.HF_HUB_OFFLINE else self._probe()
                self._probed = True
        if self._why_not:
            raise SourceFailed(f"no model hub ({self._why_not})")

    def fetch(self, source: HubSource, job: Job) -> None:
        """Bring the job's file from its offset to its end. Raises `SourceFailed`."""
        self.ensure_reachable()
        parts = self._parts(source, job.entry)
        headers = {**build_hf_headers(), "Accept-Encoding": "identity"}
        with httpx.Client(timeout=TIMEOUT, follow_redirects=True, headers=headers) as client:
            for part in parts:
                _refuse_other_content(client, part)
            job.note(f"from the hub, {source.repo}")
            for part in parts:
                _fetch_part(client, part, job)

    def _parts(self, source: HubSource, entry: ModelEntry) -> list["_Part"]:
        size = source.part_size or entry.size
        hashes = source.sha256 or (entry.sha256,)
        return [
            _Part(
                hf_hub_url(source.repo, file, revision=source.revision, endpoint=self.endpoint),
                number * size,
                min((number + 1) * size, entry.size),
                sha256,
            )
            for number, (file, sha256) in enumerate(zip(source.files, hashes, strict=True))
        ]

    def _probe(self) -> str | None:
        """None when the endpoint answers anything at all, else why not. Name lookup has no timeout of its own."""
        outcome: list[str | None] = []
        prober = threading.Thread(target=lambda: outcome.append(_knock(self.endpoint)), daemon=True)
        prober.start()
        prober.join(PROBE_S + 1)
        return outcome[0] if outcome else "no answer"


@dataclass(frozen=True, slots=True)
class _Part:
    """One file of the hub: bytes `start` to `end` of ours."""

    url: str
    start: int
    end: int
    sha256: str


def _knock(endpoint: str) -> str | None:
    try:
        httpx.head(endpoint, timeout=PROBE_S)
    except (httpx.HTTPError, OSError, ValueError) as error:
        return _plain(error)
    return None


def _refuse_other_content(client: httpx.Client, part: _Part) -> None:
    """The hub names a large file's SHA-256 in a header: another release there is no source, not a corrupt download."""
    response = _guarded(lambda: client.head(part.url, follow_redirects=False))
    if response.status_code >= httpx.codes.BAD_REQUEST:
        raise SourceFailed(f"the hub answers {response.status_code}")
    etag = response.headers.get("x-linked-etag", "").strip('"')
    if len(etag) == len(part.sha256) and etag != part.sha256:
        raise SourceFailed("the hub has another release of this file")


def _fetch_part(client: httpx.Client, part: _Part, job: Job) -> None:
    for attempt in range(ATTEMPTS):
        if job.partial.offset >= part.end:
            return
        time.sleep(attempt * BACKOFF_S)
        _pass(client, part, job)
    if job.partial.offset < part.end:
        raise SourceFailed(f"the hub broke off {ATTEMPTS} times")


def _pass(client: httpx.Client, part: _Part, job: Job) -> None:
    """One request for what is missing; where the connection breaks, another one may go on."""
    try:
        wanted = {"Range": f"bytes={job.partial.offset - part.start}-"}
        with client.stream("GET", part.url, headers=wanted) as response:
            if response.status_code == httpx.codes.OK:  # the range was ignored
                job.partial.rewind(part.start)
            elif response.status_code != httpx.codes.PARTIAL_CONTENT:
                raise SourceFailed(f"the hub answers {response.status_code}")
            for chunk in response.iter_raw():
                job.cancel.check()
                job.partial.append(chunk)
                job.report(job.partial.offset)
    except (httpx.HTTPError, OSError) as error:
        job.note(f"the hub broke off at {job.partial.offset} bytes ({_plain(error)}), going on")


def _guarded(request: Callable[[], httpx.Response]) -> httpx.Response:
    try:
        return request()
    except (httpx.HTTPError, OSError) as error:
        raise SourceFailed(f"no model hub ({_plain(error)})") from error


def _plain(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".rstrip(": ")
