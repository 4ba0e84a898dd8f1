"""Files from a model hub: over HTTP, resumed by range."""

import threading
import time
from collections.abc import Callable

import httpx
from huggingface_hub import constants, hf_hub_url
from huggingface_hub.utils._headers import build_hf_headers

from voicehelper.embedded.models.errors import SourceFailed
from voicehelper.embedded.models.job import Job
from voicehelper.embedded.models.manifest import HubSource

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
        url = hf_hub_url(source.repo, source.file, revision=source.revision, endpoint=self.endpoint)
        headers = {**build_hf_headers(), "Accept-Encoding": "identity"}
        with httpx.Client(timeout=TIMEOUT, follow_redirects=True, headers=headers) as client:
            _refuse_other_content(client, url, job)
            job.note(f"from the hub, {source.repo}")
            for attempt in range(ATTEMPTS):
                time.sleep(attempt * BACKOFF_S)
                if _pass(client, url, job):
                    return
        raise SourceFailed(f"the hub broke off {ATTEMPTS} times")

    def _probe(self) -> str | None:
        """None when the endpoint answers anything at all, else why not. Name lookup has no timeout of its own."""
        outcome: list[str | None] = []
        prober = threading.Thread(target=lambda: outcome.append(_knock(self.endpoint)), daemon=True)
        prober.start()
        prober.join(PROBE_S + 1)
        return outcome[0] if outcome else "no answer"


def _knock(endpoint: str) -> str | None:
    try:
        httpx.head(endpoint, timeout=PROBE_S)
    except (httpx.HTTPError, OSError, ValueError) as error:
        return _plain(error)
    return None


def _refuse_other_content(client: httpx.Client, url: str, job: Job) -> None:
    """The hub names a large file's SHA-256 in a header: another release there is no source, not a corrupt download."""
    response = _guarded(lambda: client.head(url, follow_redirects=False))
    if response.status_code >= httpx.codes.BAD_REQUEST:
        raise SourceFailed(f"the hub answers {response.status_code}")
    etag = response.headers.get("x-linked-etag", "").strip('"')
    if len(etag) == len(job.entry.sha256) and etag != job.entry.sha256:
        raise SourceFailed("the hub has another release of this file")


def _pass(client: httpx.Client, url: str, job: Job) -> bool:
    """One request for what is missing; False when the connection broke and another request may go on from there."""
    try:
        with client.stream("GET", url, headers={"Range": f"bytes={job.partial.offset}-"}) as response:
            if response.status_code == httpx.codes.OK:  # the range was ignored
                job.partial.rewind(0)
            elif response.status_code != httpx.codes.PARTIAL_CONTENT:
                raise SourceFailed(f"the hub answers {response.status_code}")
            for chunk in response.iter_raw():
                job.cancel.check()
                job.partial.append(chunk)
                job.report(job.partial.offset)
    except (httpx.HTTPError, OSError) as error:
        job.note(f"the hub broke off at {job.partial.offset} bytes ({_plain(error)}), going on")
    return job.partial.complete


def _guarded(request: Callable[[], httpx.Response]) -> httpx.Response:
    try:
        return request()
    except (httpx.HTTPError, OSError) as error:
        raise SourceFailed(f"no model hub ({_plain(error)})") from error


def _plain(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".rstrip(": ")
