"""From a stranger's file to chunks, for the index worker: parsed in a child process, measured by the embedder."""

from voicehelper.config import IndexingSettings
from voicehelper.documents.chunking import chunk_document_async
from voicehelper.documents.isolation import IsolatedParser
from voicehelper.documents.pipeline import chunk_limits, prepared
from voicehelper.knowledge.model import ReadDocument
from voicehelper.ports.embedder import Embedder


class IsolatedReader:
    """`knowledge.ports.DocumentReader`."""

    def __init__(self, parser: IsolatedParser, embedder: Embedder, settings: IndexingSettings) -> None:
        self._parser = parser
        self._embedder = embedder
        self._limits = chunk_limits(settings)

    async def read(self, name: str, content_type: str, data: bytes) -> ReadDocument:
        """See `DocumentReader`. Also raises `Unavailable` when no child can be started or the embedder is away."""
        parsed = await self._parser.parse(data, name, content_type)
        chunks = await chunk_document_async(parsed, self._embedder.count_tokens, self._limits)
        document = prepared(parsed, chunks)
        return ReadDocument(document.chunks, document.page_count)
