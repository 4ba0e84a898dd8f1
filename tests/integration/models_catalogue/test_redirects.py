"""An address is checked when it is written: a vendor that sends us on to another one is not followed."""

import pytest

from actors.chat.openai_compatible import OpenAICompatibleChat
from tests.fakes.openai_server import Exchange, openai_server
from voicehelper.errors import ModelUnavailable
from voicehelper.ports.chat import ChatMessage, ChatRequest


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed(status: int) -> None:
    async def inside(exchange: Exchange) -> None:
        await exchange.error(500)

    async with openai_server(inside) as metadata:

        async def away(exchange: Exchange) -> None:
            await exchange.head(status, {"Location": f"{metadata.url}/chat/completions", "Content-Length": "0"})

        async with openai_server(away) as vendor:
            model = OpenAICompatibleChat(vendor.url, "sk-x", model="m")
            with pytest.raises(ModelUnavailable):
                async for _ in model.stream(ChatRequest((ChatMessage("user", "?"),))):
                    pass
            await model.close()
            assert len(vendor.seen) == 1
        assert metadata.seen == []
