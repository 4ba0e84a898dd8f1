"""Health and readiness."""

from typing import Literal

from pydantic import Field

from voicehelper.wire.common import View


class HealthView(View):
    """This process is alive."""

    status: Literal["ok"]
    version: str


class EngineView(View):
    """One engine or model."""

    status: Literal["ok", "missing"]
    required: bool
    detail: str = Field(description="The model's name, or empty")
    ms: float = Field(description="How long it took to answer")


class ReadyView(View):
    """Every required engine is there; `degraded` when an optional one is not."""

    status: Literal["ready", "degraded"]
    engines: dict[str, EngineView]
