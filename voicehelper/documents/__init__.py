"""From a file's bytes to chunks: parsing (isolated), cleaning, chunking. Pure stages, used online and offline."""

from voicehelper.documents.model import Block, Chunk, FailureReason, ParsedDocument

__all__ = ["Block", "Chunk", "FailureReason", "ParsedDocument"]
