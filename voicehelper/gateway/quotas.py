"""Which limits hold for a request: a function of who asks, from where, and for what."""

from dataclasses import dataclass
from functools import lru_cache

from voicehelper.config import LimitSettings
from voicehelper.gateway.classes import RouteClass
from voicehelper.identity import Principal
from voicehelper.limits import AddressNames, Limit, RateLimiter


class Quotas:
    """The rules of `settings`. Counters are named by ids and by keyed hashes of addresses."""

    def __init__(self, settings: LimitSettings, names: AddressNames) -> None:
        self._settings = settings
        self._names = names
        self._of_principal = lru_cache(4096)(self._principal_limits)

    def of_address(self, kind: RouteClass, address: str) -> tuple[Limit, ...]:
        """Of somebody unknown."""
        settings, name = self._settings, self._names.name(address)
        if kind is RouteClass.LOGIN:
            return _held(Limit("login", _key("login", name), settings.login_per_address))
        return _held(Limit("address", _key("address", name), settings.per_address))

    def of_principal(self, kind: RouteClass, address: str, principal: Principal) -> tuple[Limit, ...]:
        """Of somebody known: his address's too."""
        return self._of_principal(kind, address, _actor(principal), str(principal.tenant_id))

    def _principal_limits(
        self, kind: RouteClass, address: str, actor: tuple[str, str], tenant: str
    ) -> tuple[Limit, ...]:
        settings, (what, who) = self._settings, actor
        limits = [
            *self.of_address(RouteClass.PLAIN, address),
            Limit(what, _key(what, who), settings.per_key if what == "key" else settings.per_user),
            Limit("tenant", _key("tenant", tenant), settings.per_tenant),
        ]
        if kind is RouteClass.ANSWER:
            if what != "key":  # one key may speak for all customers of a company
                limits.append(Limit("answers", _key("answers", who), settings.answers_per_user))
            limits.append(Limit("tenant-answers", _key("tenant-answers", tenant), settings.answers_per_tenant))
        if kind is RouteClass.UPLOAD:
            limits.append(Limit("tenant-uploads", _key("tenant-uploads", tenant), settings.uploads_per_tenant))
        if kind is RouteClass.MODEL:
            limits.append(Limit("tenant-models", _key("tenant-models", tenant), settings.model_calls_per_tenant))
        return _held(*limits)


@dataclass(frozen=True)
class Rates:
    """What the layers that limit need: who counts, which rules hold, for windows of how many seconds."""

    limiter: RateLimiter
    quotas: Quotas
    window_s: int


def _actor(principal: Principal) -> tuple[str, str]:
    if principal.key_id is not None:
        return "key", str(principal.key_id)
    return "user", str(principal.user_id)


def _key(kind: str, who: str) -> str:
    """One hash tag for all, because one script counts several of them."""
    return f"vh:{{limits}}:{kind}:{who}"


def _held(*limits: Limit) -> tuple[Limit, ...]:
    """Without those that are turned off."""
    return tuple(limit for limit in limits if limit.quota > 0)
