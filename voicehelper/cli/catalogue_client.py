"""The catalogue of models through the API."""

from collections.abc import Mapping
from uuid import UUID

from voicehelper.cli.client import ApiClient
from voicehelper.cli.session import ClientError
from voicehelper.wire.models import ModelSaved, ModelTestView, ModelView

_MODELS = "/api/v1/models"


class CatalogueClient(ApiClient):
    """An `ApiClient` that knows of models; raises as it does."""

    def models(self) -> list[ModelView]:
        """All that one's tenant sees, the newest first."""
        return list(self._pages(ModelView, _MODELS, {}))

    def model(self, name: str) -> ModelView:
        """The one that requests of this name mean: the tenant's own before the platform's. Raises `ClientError`."""
        found = {model.owner: model for model in self.models() if model.name == name}
        for owner in ("instance", "tenant", "platform"):
            if owner in found:
                return found[owner]
        raise ClientError(f"There is no model {name}")

    def create_model(self, body: Mapping[str, object]) -> ModelSaved:
        """A new one."""
        return self._call(ModelSaved, "POST", _MODELS, body)

    def change_model(self, model_id: UUID, body: Mapping[str, object]) -> ModelSaved:
        """Values that are not in `body` stay."""
        return self._call(ModelSaved, "PATCH", f"{_MODELS}/{model_id}", body)

    def delete_model(self, model_id: UUID) -> None:
        """Remove it."""
        self._request("DELETE", f"{_MODELS}/{model_id}")

    def test_model(self, model_id: UUID) -> ModelTestView:
        """One small call."""
        return self._call(ModelTestView, "POST", f"{_MODELS}/{model_id}/test")
