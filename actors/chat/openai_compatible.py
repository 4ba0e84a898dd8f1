"""Any server that speaks the OpenAI chat-completions format, through the official SDK."""

from collections.abc import Callable

import httpx2
import openai

from actors.chat.providers import OPENAI_COMPATIBLE, Shape, shape_of
from actors.chat.remote import Payloads, RemoteChat
from actors.chat.shaping import shaped_body
from actors.chat.upstream import CONNECT_S, SILENCE_S, Upstream
from actors.chat.wire import Chunk, read_chunk
from voicehelper.errors import InvalidInput
from voicehelper.ports.chat import ChatRequest

_PATH = "/chat/completions"


class OpenAICompatibleChat(RemoteChat):
    """Streams from a chat-completions URL.

    Args: as of `RemoteChat`; `base_url` is up to and with `/v1`, `api_key` may be empty for servers without keys.
    """

    def __init__(
        self,
        base_url: str,
        api_key: str,
        *,
        model: str,
        context_tokens: int = 4096,
        parallel: int = 4,
        queue: int = 16,
        silence_s: float = SILENCE_S,
        shape: Shape | None = None,
        fixed: bool = False,
        metered: str = "",
        http: httpx2.AsyncClient | None = None,
    ) -> None:
        name = "openai" if shape is None else shape.provider.name
        shape = shape or shape_of(OPENAI_COMPATIBLE, model)
        if not (base_url := base_url or shape.provider.base_url):
            raise InvalidInput("chat.base_url is empty: set it, or choose another chat.backend")
        super().__init__(
            base_url,
            model=model,
            provider=name,
            shape=shape,
            context_tokens=context_tokens,
            parallel=parallel,
            queue=queue,
            fixed=fixed,
            metered=metered,
            http=http,
        )
        client = openai.AsyncOpenAI(
            base_url=base_url,
            api_key=api_key or "none",
            max_retries=0,
            timeout=openai.Timeout(silence_s, connect=CONNECT_S),
            http_client=self._http,
        )
        self._upstream = Upstream(client.post, _PATH, shape.headers, shape.provider.busy_words)

    def _exchange(self, request: ChatRequest, model: str) -> tuple[Payloads, Callable[[bytes], Chunk]]:
        return self._upstream.events(shaped_body(request, self._shape, model)), read_chunk
