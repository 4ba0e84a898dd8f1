"""Rerankers of vendors, behind `voicehelper.ports.reranker.Reranker`."""
