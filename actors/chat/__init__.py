"""Chat model actors: one class per kind of engine, all behind `voicehelper.ports.chat.ChatModel`."""

from actors.chat.registry import build_chat_model

__all__ = ["build_chat_model"]
