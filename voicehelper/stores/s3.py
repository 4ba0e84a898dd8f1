"""Objects on S3 or a compatible server (MinIO, SeaweedFS, Ceph). Needs the extra `s3`."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from typing import Any, TypeVar

from voicehelper.config import ObjectSettings
from voicehelper.errors import NotFound, Unavailable, VoiceHelperError

T = TypeVar("T")

PART_BYTES = 8 * 2**20
"""Size of a part; smaller objects go up in one request. S3 takes 5 MiB to 5 GiB, at most 10,000 parts."""

_MISSING = {"NoSuchKey", "NotFound", "404"}


class S3ObjectStore:
    """`ObjectStore` in one bucket, which must exist. Connects at first use; retries are the client library's."""

    def __init__(self, settings: ObjectSettings) -> None:
        self._settings = settings
        self._stack = AsyncExitStack()
        self._opened: Any = None
        self._opening = asyncio.Lock()

    async def put(self, key: str, data: AsyncIterator[bytes]) -> int:
        """See `ObjectStore`. Large objects go up in parts, which are dropped again if the stream breaks off."""
        parts = _in_parts(data, PART_BYTES)
        first = await anext(parts, b"")
        if len(first) < PART_BYTES:
            await self._call(lambda client: client.put_object(Bucket=self._bucket, Key=key, Body=first))
            return len(first)
        return await self._put_in_parts(key, first, parts)

    async def get(self, key: str) -> bytes:
        """See `ObjectStore`."""

        async def read(client: Any) -> bytes:
            response = await client.get_object(Bucket=self._bucket, Key=key)
            async with response["Body"] as body:
                return bytes(await body.read())

        return await self._call(read)

    async def delete(self, key: str) -> None:
        """See `ObjectStore`."""
        with suppress(NotFound):  # some servers answer so where S3 is silent
            await self._call(lambda client: client.delete_object(Bucket=self._bucket, Key=key))

    async def ping(self) -> None:
        """See `ObjectStore`. A missing bucket counts as unavailable."""
        try:
            await self._call(lambda client: client.head_bucket(Bucket=self._bucket))
        except NotFound as error:
            raise Unavailable(f"There is no bucket {self._bucket!r}") from error

    async def close(self) -> None:
        """Close the connections."""
        await self._stack.aclose()
        self._opened = None

    @property
    def _bucket(self) -> str:
        return self._settings.bucket

    async def _put_in_parts(self, key: str, first: bytes, rest: AsyncIterator[bytes]) -> int:
        target = {"Bucket": self._bucket, "Key": key}
        started = await self._call(lambda client: client.create_multipart_upload(**target))
        upload = target | {"UploadId": started["UploadId"]}
        try:
            done = [await self._put_part(upload, 1, first)]
            size = len(first)
            async for part in rest:
                done.append(await self._put_part(upload, len(done) + 1, part))
                size += len(part)
            listing = {"Parts": done}
            await self._call(lambda client: client.complete_multipart_upload(**upload, MultipartUpload=listing))
        except BaseException:
            await self._abort(upload)
            raise
        return size

    async def _put_part(self, upload: dict[str, str], number: int, part: bytes) -> dict[str, Any]:
        answer = await self._call(lambda client: client.upload_part(**upload, PartNumber=number, Body=part))
        return {"PartNumber": number, "ETag": answer["ETag"]}

    async def _abort(self, upload: dict[str, str]) -> None:
        with suppress(VoiceHelperError):  # then the bucket's lifecycle rule for unfinished uploads is left
            await asyncio.shield(self._call(lambda client: client.abort_multipart_upload(**upload)))

    async def _call(self, call: Callable[[Any], Awaitable[T]]) -> T:
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - the `s3` extra

        try:
            return await call(await self._client())
        except ClientError as error:
            code = str(error.response.get("Error", {}).get("Code", ""))
            if code in _MISSING:
                raise NotFound("No such object") from error
            raise Unavailable(f"The object store refused the request: {code}") from error
        except (BotoCoreError, OSError) as error:
            raise Unavailable(f"The object store cannot be reached: {type(error).__name__}") from error

    async def _client(self) -> Any:
        async with self._opening:
            if self._opened is None:
                self._opened = await self._stack.enter_async_context(_connect(self._settings))
            return self._opened


def _connect(settings: ObjectSettings) -> Any:
    import aioboto3  # noqa: PLC0415 - the `s3` extra
    from botocore.config import Config  # noqa: PLC0415

    session = aioboto3.Session(
        aws_access_key_id=settings.access_key.get_secret_value() or None,
        aws_secret_access_key=settings.secret_key.get_secret_value() or None,
        region_name=settings.region,
    )
    # Path-style addresses: compatible servers rarely have a name for each bucket.
    addressing = {"addressing_style": "path" if settings.endpoint_url else "auto"}
    config = Config(connect_timeout=5, read_timeout=30, retries={"max_attempts": 3, "mode": "standard"}, s3=addressing)
    return session.client("s3", endpoint_url=settings.endpoint_url or None, config=config)


async def _in_parts(data: AsyncIterator[bytes], size: int) -> AsyncIterator[bytes]:
    """The stream in parts of exactly `size` bytes, but for the last."""
    held = bytearray()
    async for piece in data:
        held += piece
        while len(held) >= size:
            yield bytes(held[:size])
            del held[:size]
    if held:
        yield bytes(held)
