"""Which object store: by `settings.objects.backend`."""

from collections.abc import Callable

from voicehelper.config import Settings
from voicehelper.errors import VoiceHelperError
from voicehelper.ports.objects import ObjectStore
from voicehelper.stores.files import FileObjectStore


def _files(settings: Settings) -> ObjectStore:
    return FileObjectStore(settings.home / "objects")


def _s3(settings: Settings) -> ObjectStore:
    try:
        import aioboto3  # noqa: F401, PLC0415
    except ImportError as error:
        raise VoiceHelperError("objects.backend s3 needs: pip install 'voicehelper[s3]'") from error
    from voicehelper.stores.s3 import S3ObjectStore  # noqa: PLC0415

    return S3ObjectStore(settings.objects)


BACKENDS: dict[str, Callable[[Settings], ObjectStore]] = {"file": _files, "s3": _s3}


def build_objects(settings: Settings) -> ObjectStore:
    """The configured store. Raises `VoiceHelperError` when its extra is not installed."""
    return BACKENDS[settings.objects.backend](settings)
