"""Any sentence-transformers model, on CPU or GPU. Needs the `torch` extra."""

from collections.abc import Sequence

import numpy as np

from actors.embedding.encoder import E5_PREFIXES, encodable
from voicehelper.errors import ModelUnavailable
from voicehelper.ports.embedder import EmbedderInfo, EmbedKind, Vectors


class SentenceTransformersEncoder:
    """Implements `TextEncoder`.

    Queries and passages get the prompts that the model's own configuration names; models of the e5 family, which keep
    theirs in their card only, get e5's. A text longer than the model's window is cut by the library: index with chunks
    of at most `info.max_tokens`.

    Args:
        model: a name on the model hub, or a folder.
        max_batch: most texts in one call.
    """

    def __init__(self, model: str, max_batch: int, device: str | None = None) -> None:
        try:
            from sentence_transformers import SentenceTransformer  # noqa: PLC0415 - torch is an extra
        except ImportError as error:
            raise ModelUnavailable("sentence-transformers is not installed: pip install voicehelper[torch]") from error
        self._model = SentenceTransformer(model, device=device)
        self._prompts = _prompts(model, dict(self._model.prompts))
        self._max_batch = max_batch
        window = int(self._model.max_seq_length or 512)
        overhead = max(len(ids) for ids in self._ids(list(self._prompts.values()), marks=True))
        self.info = EmbedderInfo(model, self.encode([""], "query").shape[1], window - overhead)
        self.parallel = 1
        self.batch_tokens = window * max_batch

    def encode(self, texts: Sequence[str], kind: EmbedKind) -> Vectors:
        """See `TextEncoder`, but for long texts."""
        prefix = self._prompts[kind]
        vectors = self._model.encode(
            [prefix + encodable(text) for text in texts],
            batch_size=self._max_batch,
            normalize_embeddings=True,
            show_progress_bar=False,
        )
        return np.asarray(vectors, dtype=np.float32)

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """See `TextEncoder`."""
        return [len(ids) for ids in self._ids([encodable(text) for text in texts], marks=False)]

    def _ids(self, texts: list[str], marks: bool) -> list[list[int]]:
        tokens = self._model.tokenizer(texts, add_special_tokens=marks, truncation=False, verbose=False)
        ids: list[list[int]] = tokens["input_ids"]
        return ids


def _prompts(model: str, configured: dict[str, str]) -> dict[EmbedKind, str]:
    fallback: dict[EmbedKind, str] = E5_PREFIXES if "e5" in model.lower() else {"query": "", "passage": ""}
    return {
        "query": configured.get("query") or fallback["query"],
        "passage": configured.get("passage") or configured.get("document") or fallback["passage"],
    }
