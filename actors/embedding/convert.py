"""Builds the int8 CTranslate2 encoder of multilingual-e5-small: `python -m actors.embedding.convert PACK FOLDER`.

Run once, by `voicehelper models pull`. The layer mapping follows CTranslate2's own converter of BERT models; only the
weights come from the packed 4-bit file instead of torch. The token type is always 0, so its embedding is added to the
position embeddings.
"""

import sys
from pathlib import Path

import numpy as np
from ctranslate2.specs import common_spec, transformer_spec
from numpy.typing import NDArray

from actors.embedding.e5_pack import E5Pack, read_e5_pack
from actors.embedding.e5_tokenizer import save_tokenizer

Tensors = dict[str, NDArray[np.float32]]


def convert(pack_file: Path, folder: Path) -> None:
    """Write the encoder and its tokenizer into the existing, empty `folder`."""
    pack = read_e5_pack(pack_file)
    spec = build_spec(pack)
    spec.validate()
    spec.optimize(quantization="int8")
    spec.save(str(folder))
    save_tokenizer(pack.pieces, folder)


def build_spec(pack: E5Pack) -> transformer_spec.TransformerEncoderModelSpec:
    """The encoder's specification with float32 weights, before quantisation."""
    tensors = pack.tensors
    encoder = transformer_spec.TransformerEncoderSpec(
        pack.architecture.layers,
        pack.architecture.heads,
        pre_norm=False,
        activation=common_spec.Activation.GELU,
        layernorm_embedding=True,
    )
    encoder.scale_embeddings = False
    encoder.embeddings[0].weight = tensors["emb.word"]
    encoder.position_encodings.encodings = tensors["emb.pos"] + tensors["emb.type"][0]
    _norm(encoder.layernorm_embedding, tensors, "emb.ln")
    for number, layer in enumerate(encoder.layer):
        _layer(layer, tensors, f"l{number}")
    spec = transformer_spec.TransformerEncoderModelSpec(encoder, pooling_layer=False)
    spec.config.layer_norm_epsilon = pack.architecture.layer_norm_eps
    spec.register_vocabulary(_vocabulary(pack))
    return spec


def _layer(layer: transformer_spec.TransformerEncoderLayerSpec, tensors: Tensors, name: str) -> None:
    queries_keys_values = layer.self_attention.linear[0]
    queries_keys_values.weight = np.concatenate([tensors[f"{name}.{part}.w"] for part in "qkv"])
    queries_keys_values.bias = np.concatenate([tensors[f"{name}.{part}.b"] for part in "qkv"])
    _linear(layer.self_attention.linear[1], tensors, f"{name}.ao")
    _norm(layer.self_attention.layer_norm, tensors, f"{name}.aln")
    _linear(layer.ffn.linear_0, tensors, f"{name}.fi")
    _linear(layer.ffn.linear_1, tensors, f"{name}.fo")
    _norm(layer.ffn.layer_norm, tensors, f"{name}.oln")


def _linear(spec: common_spec.LinearSpec, tensors: Tensors, name: str) -> None:
    spec.weight, spec.bias = tensors[f"{name}.w"], tensors[f"{name}.b"]


def _norm(spec: common_spec.LayerNormSpec, tensors: Tensors, name: str) -> None:
    spec.gamma, spec.beta = tensors[f"{name}.w"], tensors[f"{name}.b"]


def _vocabulary(pack: E5Pack) -> list[str]:
    """The pieces, and the embedding rows of multilingual-e5-small that no piece uses. Only its length matters here."""
    pieces = [piece for piece, _ in pack.pieces.pieces]
    return pieces + [f"<extra_id_{index}>" for index in range(pack.architecture.vocabulary - len(pieces))]


if __name__ == "__main__":
    convert(Path(sys.argv[1]), Path(sys.argv[2]))
