"""Classes of routes by what they may take: known from the path alone, before routing."""

import re
from enum import Enum

from voicehelper.config import HttpSettings

_ANSWER = re.compile(r"/api/v1/conversations/[^/]+/messages/?")
_UPLOAD = re.compile(r"/api/v1/knowledge/bases/[^/]+/documents/?")
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_MULTIPART_OVERHEAD = 64 * 1024


class RouteClass(Enum):
    """How long a request may take and how much it may carry."""

    PLAIN = "plain"
    ANSWER = "answer"
    UPLOAD = "upload"
    UNKNOWN = "unknown"


def class_of(method: str, path: str) -> RouteClass:
    """The class of a request."""
    if method not in _METHODS:
        return RouteClass.UNKNOWN
    if method == "POST" and _ANSWER.fullmatch(path):
        return RouteClass.ANSWER
    if method == "POST" and _UPLOAD.fullmatch(path):
        return RouteClass.UPLOAD
    return RouteClass.PLAIN


def deadline_of(kind: RouteClass, settings: HttpSettings) -> float | None:
    """Seconds a request of this class may take; None for uploads, whose length is up to the client's line."""
    if kind is RouteClass.UPLOAD:
        return None
    return settings.answer_timeout_s if kind is RouteClass.ANSWER else settings.request_timeout_s


def body_limit_of(kind: RouteClass, settings: HttpSettings) -> int:
    """Bytes a request of this class may carry."""
    if kind is RouteClass.UPLOAD:
        return settings.max_upload_bytes + _MULTIPART_OVERHEAD
    return settings.max_body_bytes
