"""The catalogue's neighbours, faked."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from voicehelper.errors import ModelUnavailable
from voicehelper.models.model import ModelEntry
from voicehelper.ports.chat import ChatModel

PUBLIC = "93.184.215.14"


@dataclass
class FakeBackends:
    """`Backends` that has one model for each name in `models`; keeps the entries it was asked for."""

    models: dict[str, ChatModel] = field(default_factory=dict)
    asked: list[ModelEntry] = field(default_factory=list)

    def chat(self, entry: ModelEntry) -> ChatModel:
        self.asked.append(entry)
        if entry.name not in self.models:
            raise ModelUnavailable("The fake has no such model")
        return self.models[entry.name]


@dataclass
class FakeResolver:
    """Hosts it knows have the addresses in `hosts`, names under example.com a public one, others none."""

    hosts: dict[str, Sequence[str]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    async def __call__(self, host: str) -> Sequence[str]:
        self.asked.append(host)
        if host in self.hosts:
            return self.hosts[host]
        if host.endswith("example.com"):
            return [PUBLIC]
        raise OSError("no such host")
