"""One module per format: `parse(data, limits) -> ParsedDocument` and `inspect(data, limits)`, the quick part of its
checks. The registry chooses; nothing else does."""

from voicehelper.documents.parsers.registry import inspect_document, parse_document

__all__ = ["inspect_document", "parse_document"]
