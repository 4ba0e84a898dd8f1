"""Anthropic's Messages API, through the official SDK."""

from collections.abc import Callable

import anthropic
import httpx2

from actors.chat.anthropic_body import answers_by_tool, blank_stops, messages_body
from actors.chat.anthropic_events import EventReader
from actors.chat.providers import PROVIDERS, Shape, shape_of
from actors.chat.remote import Payloads, RemoteChat
from actors.chat.upstream import CONNECT_S, SILENCE_S, Upstream
from actors.chat.wire import Chunk
from voicehelper.ports.chat import ChatRequest

_PATH = "/v1/messages"


class AnthropicChat(RemoteChat):
    """Streams messages of Claude models.

    What the API lacks is left out (log-probabilities, seed, penalties) or made up for (stop words that are blank are
    looked for here; JSON mode is an instruction).

    Args: as of `RemoteChat`; `base_url` is without `/v1`.
    """

    def __init__(
        self,
        base_url: str,
        api_key: str,
        *,
        model: str,
        context_tokens: int = 200_000,
        parallel: int = 4,
        queue: int = 16,
        silence_s: float = SILENCE_S,
        shape: Shape | None = None,
        fixed: bool = False,
        metered: str = "",
        http: httpx2.AsyncClient | None = None,
    ) -> None:
        shape = shape or shape_of(PROVIDERS["anthropic"], model)
        base_url = base_url or shape.provider.base_url
        super().__init__(
            base_url,
            model=model,
            provider=shape.provider.name,
            shape=shape,
            context_tokens=context_tokens,
            parallel=parallel,
            queue=queue,
            fixed=fixed,
            metered=metered,
            http=http,
        )
        client = anthropic.AsyncAnthropic(
            base_url=base_url,
            api_key=api_key or "none",
            max_retries=0,
            timeout=anthropic.Timeout(silence_s, connect=CONNECT_S),
            http_client=self._http,
        )
        self._upstream = Upstream(client.post, _PATH, shape.headers, sdk_error=anthropic.AnthropicError)

    def _local_stops(self, request: ChatRequest) -> tuple[str, ...]:
        return blank_stops(request)

    def _exchange(self, request: ChatRequest, model: str) -> tuple[Payloads, Callable[[bytes], Chunk]]:
        reader = EventReader(answers_by_tool(request, self._shape))
        return self._upstream.events(messages_body(request, self._shape, model)), reader.read
