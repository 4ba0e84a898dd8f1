"""Answering from documents: rewriting, context, generation, grounding and citations."""
