"""An address is checked when it is written: a vendor that sends us on to another one is not followed."""

from dataclasses import dataclass

import pytest

from actors.chat.backends import VendorBackends
from tests.fakes.openai_server import Exchange, openai_server
from voicehelper.errors import ModelUnavailable
from voicehelper.ids import new_id
from voicehelper.models.model import ModelEntry
from voicehelper.ports.chat import ChatMessage, ChatRequest, FakeChatModel


@dataclass
class FakeSecrets:
    """One key for all."""

    key: str = "sk-x"

    def key_of(self, entry: ModelEntry) -> str:
        return self.key


@pytest.mark.parametrize("provider", ["openai_compatible", "anthropic"])
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed(status: int, provider: str) -> None:
    async def inside(exchange: Exchange) -> None:
        await exchange.error(500)

    async with openai_server(inside) as metadata:

        async def away(exchange: Exchange) -> None:
            await exchange.head(status, {"Location": f"{metadata.url}/chat/completions", "Content-Length": "0"})

        async with openai_server(away) as vendor:
            backends = VendorBackends(FakeChatModel(), FakeSecrets())
            model = backends.chat(ModelEntry(new_id(), "m", provider, base_url=vendor.url))
            with pytest.raises(ModelUnavailable):
                async for _ in model.stream(ChatRequest((ChatMessage("user", "?"),))):
                    pass
            await backends.close()
            assert len(vendor.seen) == 1
        assert metadata.seen == []
