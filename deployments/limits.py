"""Rate limits of the gateway."""

from deployments.wiring import Nodes
from voicehelper.gateway.quotas import Quotas, Rates
from voicehelper.identity.secrets import derive_key, load_master_key
from voicehelper.limits import AddressNames, FallbackLimiter, LocalLimiter
from voicehelper.stores.rate_limits import RedisLimiter


async def request_rates(nodes: Nodes) -> Rates | None:
    """As the settings say; None where they turn limits off. Raises `Unavailable` where there is no master key."""
    settings = nodes.settings.limits
    if not settings.enabled:
        return None
    shared = RedisLimiter(nodes.settings.redis_dsn(), settings.window_s)
    nodes.resources.push_async_callback(shared.close)
    limiter = FallbackLimiter(shared, LocalLimiter(settings.window_s))
    nodes.resources.push_async_callback(limiter.close)
    names = AddressNames(derive_key(load_master_key(nodes.settings), "addresses in rate limits"))
    return Rates(limiter, Quotas(settings, names), settings.window_s)
