"""Classes of routes by what they may take: known from the path alone, before routing."""

import re
from enum import Enum

from starlette.types import Scope

from voicehelper.config import HttpSettings

_ANSWER = re.compile(r"/api/v1/conversations/[^/]+/messages(?:/[^/]+/regenerate)?/?")
_FOLLOW = re.compile(r"/api/v1/conversations/[^/]+/messages/[^/]+/events/?")
_UPLOAD = re.compile(r"/api/v1/knowledge/bases/[^/]+/documents/?")
_DICTATION = "/v1/audio/transcriptions"
_DOWNLOAD = re.compile(r"/api/v1/(?:conversations|users)/[^/]+/export/?")
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_MULTIPART_OVERHEAD = 64 * 1024
_KEY = "route_class"


class RouteClass(Enum):
    """How long a request may take, how much it may carry, how many there may be."""

    PLAIN = "plain"
    LOGIN = "login"
    ANSWER = "answer"
    FOLLOW = "follow"  # an answer's events, asked for by a further reader
    UPLOAD = "upload"
    MODEL = "model"  # a model asked directly
    DICTATION = "dictation"  # a recording to be written down
    DOWNLOAD = "download"  # written while it is sent
    SOCKET = "socket"
    UNKNOWN = "unknown"

    __hash__ = object.__hash__  # members are single: Enum's own hashes their names, in Python, a dozen times a request


_POSTS = {
    "/api/v1/auth/login": RouteClass.LOGIN,
    "/api/v1/auth/refresh": RouteClass.LOGIN,
    "/v1/audio/speech": RouteClass.DOWNLOAD,
    "/v1/chat/completions": RouteClass.MODEL,
    "/v1/completions": RouteClass.MODEL,
    "/v1/responses": RouteClass.MODEL,
    "/v1/embeddings": RouteClass.MODEL,
}


def class_of(scope: Scope) -> RouteClass:
    """The class of a request or WebSocket; worked out once."""
    state = scope.setdefault("state", {})
    found: RouteClass | None = state.get(_KEY)
    if found is None:
        found = state[_KEY] = RouteClass.SOCKET if scope["type"] == "websocket" else _of(scope["method"], scope["path"])
    return found


def _of(method: str, path: str) -> RouteClass:
    if method == "POST":
        if _ANSWER.fullmatch(path):
            return RouteClass.ANSWER
        if path == _DICTATION:
            return RouteClass.DICTATION
        return RouteClass.UPLOAD if _UPLOAD.fullmatch(path) else _POSTS.get(path, RouteClass.PLAIN)
    if method == "GET" and _FOLLOW.fullmatch(path):
        return RouteClass.FOLLOW
    if method == "GET" and _DOWNLOAD.fullmatch(path):
        return RouteClass.DOWNLOAD
    return RouteClass.PLAIN if method in _METHODS else RouteClass.UNKNOWN


def deadline_of(kind: RouteClass, settings: HttpSettings) -> float | None:
    """Seconds a request of this class may take; None for uploads and downloads, whose length is up to the client's
    line, for recordings, and for sockets."""
    if kind in {RouteClass.UPLOAD, RouteClass.DICTATION, RouteClass.DOWNLOAD, RouteClass.SOCKET}:
        return None
    if kind in {RouteClass.ANSWER, RouteClass.FOLLOW, RouteClass.MODEL}:
        return settings.answer_timeout_s
    return settings.request_timeout_s


def body_limit_of(kind: RouteClass, settings: HttpSettings) -> int:
    """Bytes a request of this class may carry."""
    if kind is RouteClass.UPLOAD:
        return settings.max_upload_bytes + _MULTIPART_OVERHEAD
    if kind is RouteClass.DICTATION:
        return settings.max_audio_bytes + _MULTIPART_OVERHEAD
    if kind is RouteClass.MODEL:
        return settings.max_prompt_bytes
    return settings.max_body_bytes
