"""The sentence-transformers backend, on a tiny untrained BERT made here. Needs the `torch` extra."""

import numpy as np
import pytest

pytest.importorskip("sentence_transformers", reason="the `torch` extra is not installed")

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
from transformers import BertConfig, BertModel, BertTokenizerFast

from actors.embedder import build_embedder
from actors.embedding.sentence import SentenceTransformersEncoder
from voicehelper.config import Settings

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "query", "passage", ":", *"退款多久到账修改收货地址abcdefgh"]


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("e5-tiny")
    (folder / "vocab.txt").write_text("\n".join(dict.fromkeys(WORDS)))
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    config = BertConfig(vocab_size=len(set(WORDS)), max_position_embeddings=64, **sizes)
    BertModel(config).save_pretrained(folder / "bert")
    BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(folder / "bert")
    bert = Transformer(str(folder / "bert"), max_seq_length=64)
    SentenceTransformer(modules=[bert, Pooling(32)], device="cpu").save(str(folder / "model"))
    return str(folder / "model")


@pytest.fixture(scope="module")
def encoder(model) -> SentenceTransformersEncoder:
    return SentenceTransformersEncoder(model, max_batch=8, device="cpu")


def test_vectors_are_unit_and_independent_of_the_batch(encoder):
    texts = ["退款多久到账", "修改收货地址", "abc" * 5, "\ud800", ""]
    together = encoder.encode(texts, "passage")
    assert together.shape == (5, 32)
    assert together.dtype == np.float32
    assert np.linalg.norm(together, axis=1) == pytest.approx([1] * 5, abs=1e-5)
    alone = np.vstack([encoder.encode([text], "passage") for text in texts])
    assert (together * alone).sum(axis=1).min() > 0.9999


def test_the_e5_family_gets_its_prefixes(encoder):
    query, passage = (encoder.encode(["退款"], kind)[0] for kind in ("query", "passage"))
    assert query @ passage < 0.9999


def test_counts_and_window(encoder):
    assert encoder.count_tokens(["退款", "abc 退", ""]) == [2, 2, 0]
    assert encoder.info.dimensions == 32
    assert encoder.info.max_tokens == 64 - len(["[CLS]", "[SEP]"]) - len(["passage", ":"])


async def test_the_registry_builds_it(model):
    embedder = build_embedder(Settings(embedder={"backend": "sentence-transformers", "model": model}))
    assert (await embedder.embed(["退款", "地址"], "passage")).shape == (2, 32)
    assert (await embedder.describe()).model == model
