"""The catalogue of models in this process."""

import asyncio
from functools import partial

from deployments.engines import database, feed_pool, wakeups
from deployments.wiring import Nodes
from voicehelper.errors import Unavailable
from voicehelper.gateway.models_desk import ModelsDesk
from voicehelper.identity import Accounts
from voicehelper.identity.acts import Acts
from voicehelper.identity.secrets import SecretBox, load_master_key
from voicehelper.models.catalogue import LiveCatalogue
from voicehelper.models.catalogue_service import CatalogueService
from voicehelper.models.local import local_entry
from voicehelper.models.ports import Backends
from voicehelper.ports.clock import SystemClock
from voicehelper.stores.postgres import guard
from voicehelper.stores.postgres.models import PostgresModels
from voicehelper.stores.postgres.models_feed import PostgresModelFeed
from voicehelper.telemetry import get_logger

_log = get_logger(__name__)
_FIRST_READ_S = 5.0
_AGAIN_S = 1.0

PURPOSE = "model-keys"
"""Of the box in which keys to providers are sealed."""


async def live_catalogue(nodes: Nodes) -> LiveCatalogue:
    """The process's `Catalogue` and `Secrets`, following the table. It starts without the database too: then with the
    instance's own model alone, until the database is there."""

    async def make() -> LiveCatalogue:
        settings = nodes.settings
        catalogue = LiveCatalogue(
            local_entry(settings.chat),
            key_box(nodes),
            settings.provider_keys.by_provider(),
            refresh_s=settings.models.refresh_s,
        )
        nodes.run("catalogue", _follow(nodes, catalogue))
        await catalogue.tried(_FIRST_READ_S)
        return catalogue

    return await nodes.shared("catalogue", make)


def key_box(nodes: Nodes) -> SecretBox:
    """Seals keys to providers, and opens them. Raises `Unavailable` where the master key is of no use."""
    return SecretBox(load_master_key(nodes.settings), PURPOSE)


async def model_feed(nodes: Nodes) -> PostgresModelFeed:
    """The table. Raises `Unavailable` while the database is away."""
    return PostgresModelFeed(await feed_pool(nodes), await wakeups(nodes))


async def models_desk(nodes: Nodes, accounts: Accounts, backends: Backends) -> ModelsDesk:
    """For people to look at the catalogue, change it, and try its models through `backends`."""
    pool = await database(nodes)
    service = CatalogueService(
        PostgresModels(pool), await live_catalogue(nodes), await model_feed(nodes), key_box(nodes)
    )
    unit = partial(guard.request_transaction, pool)
    return ModelsDesk(service, backends, Acts(accounts.audit, unit, SystemClock()))


async def _follow(nodes: Nodes, catalogue: LiveCatalogue) -> None:
    while True:
        try:
            feed = await model_feed(nodes)
            break
        except Unavailable as error:
            _log.warning("catalogue.awaited", error=error.message)
        await asyncio.sleep(_AGAIN_S)
    await catalogue.run(feed)
