"""One module per format: `parse(data, limits) -> ParsedDocument`. The registry chooses; nothing else does."""

from voicehelper.documents.parsers.registry import parse_document

__all__ = ["parse_document"]
