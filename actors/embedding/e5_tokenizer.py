"""The tokenizer of e5, from the vocabulary inside the packed model."""

import json
from collections.abc import Sequence
from pathlib import Path

from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors

from actors.embedding.e5_pack import Pieces

TOKENIZER_FILE = "tokenizer.json"
CHARMAP_FILE = "charmap.json"
_NUL = {0: ""}  # the C tokenizer never sees one: it ends strings there


def save_tokenizer(pieces: Pieces, folder: Path) -> None:
    """Write the tokenizer's two files into `folder`."""
    tokenizer = Tokenizer(models.Unigram(pieces.pieces, unk_id=pieces.unk, byte_fallback=False))
    tokenizer.normalizer = normalizers.Replace(Regex(" {2,}"), " ")
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    bos, eos = (pieces.pieces[index][0] for index in (pieces.bos, pieces.eos))
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{bos} $A {eos}", special_tokens=[(bos, pieces.bos), (eos, pieces.eos)]
    )
    tokenizer.save(str(folder / TOKENIZER_FILE), pretty=False)
    (folder / CHARMAP_FILE).write_text(json.dumps(pieces.charmap, ensure_ascii=True))


class E5Tokenizer:
    """Texts to token ids, exactly as long as the model sees them (no truncation). Thread-safe, releases the GIL."""

    def __init__(self, folder: Path) -> None:
        self._tokenizer = Tokenizer.from_file(str(folder / TOKENIZER_FILE))
        charmap: dict[str, str] = json.loads((folder / CHARMAP_FILE).read_text())
        self._charmap = _NUL | {ord(source): target for source, target in charmap.items()}

    def encode(self, texts: Sequence[str], prefix: str = "") -> list[list[int]]:
        """Token ids of each text behind `prefix`, without the begin and end marks."""
        clean = [(prefix + text).translate(self._charmap) for text in texts]
        return [encoding.ids for encoding in self._tokenizer.encode_batch_fast(clean, add_special_tokens=False)]
