"""How a parser says that a document cannot be indexed."""

from voicehelper.documents.model import FailureReason
from voicehelper.errors import UnprocessableDocument

MESSAGES = {
    FailureReason.EMPTY: "The document holds no text",
    FailureReason.NO_TEXT: "The PDF has no text layer; scanned pages need OCR",
    FailureReason.UNSUPPORTED: "Files of this type cannot be indexed",
    FailureReason.MISMATCH: "The content is not what the file's name or type says",
    FailureReason.CORRUPT: "The file is damaged",
    FailureReason.ENCRYPTED: "The file is protected by a password",
    FailureReason.TOO_LARGE: "The document holds more text than is accepted",
    FailureReason.BOMB: "The file unpacks to an unreasonable size",
    FailureReason.ENCODING: "The text encoding cannot be told for certain; save the file as UTF-8",
    FailureReason.TIMEOUT: "Reading the file took too long",
    FailureReason.MEMORY: "Reading the file took too much memory",
    FailureReason.CRASH: "The file made its parser crash",
    FailureReason.WORKER: "The process working on the document was lost repeatedly",
    FailureReason.INTERNAL: "The document could not be processed because of an error of ours",
}


def failure(reason: FailureReason, message: str = "") -> UnprocessableDocument:
    """The error for `reason`; `message` replaces the standard one-line text."""
    return UnprocessableDocument(message or MESSAGES[reason], {"reason": reason.value})


def failure_reason(error: UnprocessableDocument) -> FailureReason:
    """The reason an error made by `failure` carries; `INTERNAL` for any other."""
    try:
        return FailureReason(error.details.get("reason", ""))
    except ValueError:
        return FailureReason.INTERNAL
