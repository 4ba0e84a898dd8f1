"""Embedding models behind `voicehelper.ports.embedder.Embedder`."""
