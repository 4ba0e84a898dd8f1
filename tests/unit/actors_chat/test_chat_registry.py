import pytest

from actors.chat import build_chat_model
from voicehelper.config import ChatSettings, Settings
from voicehelper.errors import ModelUnavailable
from voicehelper.models.tokens import estimate_tokens
from voicehelper.ports.chat import FakeChatModel


def test_fake_backend() -> None:
    assert isinstance(build_chat_model(Settings(chat=ChatSettings(backend="fake"))), FakeChatModel)


async def test_openai_backend() -> None:
    chat = build_chat_model(Settings(chat=ChatSettings(backend="openai", model="m", base_url="http://127.0.0.1:1/v1")))
    info = await chat.describe()
    assert (info.model, info.provider) == ("m", "openai")
    assert await chat.count_tokens(["退款", "abc"]) == [2, 1]


@pytest.mark.parametrize("content", [None, b"", b"not a model"])
def test_a_broken_model_file_is_told_plainly(tmp_path, content) -> None:  # type: ignore[no-untyped-def]
    from actors.chat.llama_cpp import LlamaCppChat

    path = tmp_path / "m.gguf"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ModelUnavailable, match=r"m\.gguf"):
        LlamaCppChat(path)


def test_estimate_counts_chinese_by_character() -> None:
    assert estimate_tokens("三个工作日，ok") == 7
    assert estimate_tokens("") == 0
