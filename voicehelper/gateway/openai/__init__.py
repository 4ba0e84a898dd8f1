"""OpenAI's API: chat and text completions, responses, embeddings and models, over our router."""

from voicehelper.gateway.openai.routes import router

__all__ = ["router"]
