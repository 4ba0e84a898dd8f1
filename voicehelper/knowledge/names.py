"""Names of documents: path-like, so that a folder keeps its shape, but never a way out of it."""

import unicodedata

from voicehelper.errors import InvalidInput

MAX_NAME_CHARS = 500
MAX_PART_CHARS = 255


def document_name(name: str) -> str:
    """`name` in canonical form: NFC, forward slashes, no empty or `.` parts.

    Raises `InvalidInput` for an empty or overlong name, control characters, and `..` parts.
    """
    name = unicodedata.normalize("NFC", name).replace("\\", "/").strip()
    parts = [part.strip() for part in name.split("/")]
    parts = [part for part in parts if part not in ("", ".")]
    if not parts:
        raise InvalidInput("The document needs a name")
    if ".." in parts:
        raise InvalidInput("The document's name must not contain '..'")
    if any(unicodedata.category(char) in ("Cc", "Cs") for char in name):
        raise InvalidInput("The document's name must not contain control characters")
    canonical = "/".join(parts)
    if len(canonical) > MAX_NAME_CHARS or any(len(part) > MAX_PART_CHARS for part in parts):
        limits = {"max_chars": MAX_NAME_CHARS, "max_part_chars": MAX_PART_CHARS}
        raise InvalidInput("The document's name is too long", limits)
    return canonical


def base_name(name: str) -> str:
    """A knowledge base's name, stripped. Raises `InvalidInput` when empty, over 200 characters or with controls."""
    name = unicodedata.normalize("NFC", name).strip()
    if not name or len(name) > 200 or any(unicodedata.category(char) in ("Cc", "Cs") for char in name):
        raise InvalidInput("The knowledge base's name must have 1 to 200 characters and no control characters")
    return name
