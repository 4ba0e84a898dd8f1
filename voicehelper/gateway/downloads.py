"""Files that are written while they are sent."""

from collections.abc import AsyncGenerator

from starlette.responses import Response, StreamingResponse


async def download(parts: AsyncGenerator[str, None], media_type: str, name: str) -> Response:
    """A file called `name` (ASCII) made of `parts`, with the whole of its first part read before the status is sent:
    an error until then is an ordinary error response. A later one breaks the connection off, so that nobody takes a
    part for the whole."""
    first = await anext(parts)

    async def body() -> AsyncGenerator[str, None]:
        yield first
        async for part in parts:
            yield part

    headers = {"content-disposition": f'attachment; filename="{name}"', "cache-control": "no-store"}
    return StreamingResponse(body(), media_type=media_type, headers=headers)
