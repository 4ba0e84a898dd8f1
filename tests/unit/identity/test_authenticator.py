"""Credentials, permissions and revocation, without a database: time and replicas under control."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from voicehelper.errors import TokenExpired, TokenRevoked, Unauthenticated, Unavailable
from voicehelper.identity import SigningKey, TokenIssuer, TokenVerifier, User
from voicehelper.identity.authenticator import Authenticator
from voicehelper.identity.feed import Change, IdentityFeed
from voicehelper.identity.key_uses import KeyUses
from voicehelper.identity.lru import Lru
from voicehelper.identity.opaque_tokens import API_KEY
from voicehelper.identity.permissions import BUILT_IN, PERMISSIONS
from voicehelper.identity.standing import ApiKeyFacts, Standings, UserFacts
from voicehelper.ids import new_id
from voicehelper.ports.clock import FakeClock

KEY = SigningKey(rsa.generate_private_key(65537, 2048), "k1")
USER = User(new_id(), new_id(), "a@example.com", "x", "member")
FACTS = UserFacts(USER.tenant_id, USER.id, "member", "person", True)


@dataclass
class FakeChanges:
    """The table, and whether it can be read."""

    rows: list[Change] = field(default_factory=list)
    away: bool = False
    swept: int = 0

    def add(self, kind: str, subject: object, tenant_id: UUID | None = USER.tenant_id, life_s: float = 7200) -> None:
        self.rows.append(Change(len(self.rows) + 1, kind, tenant_id, str(subject), 1_700_000_000.0 + life_s))

    async def since(self, seq: int) -> list[Change]:
        if self.away:
            raise Unavailable
        return [row for row in self.rows if row.seq > seq]

    async def wait(self, timeout: float) -> None:
        await asyncio.sleep(0)

    async def sweep(self) -> None:
        self.swept += 1


@dataclass
class FakePrincipals:
    """Users and keys in dicts; counts what it was asked."""

    users: dict[UUID, UserFacts] = field(default_factory=dict)
    keys: dict[UUID, ApiKeyFacts] = field(default_factory=dict)
    asked: int = 0
    uses: list[Mapping[UUID, float]] = field(default_factory=list)
    away: bool = False
    gate: asyncio.Event | None = None

    async def user(self, tenant_id: UUID, user_id: UUID) -> UserFacts | None:
        self.asked += 1
        found = self.users.get(user_id)  # as of now, whatever happens while it is on its way
        if self.gate is not None:
            await self.gate.wait()
        if self.away:
            raise Unavailable
        return found if found and found.tenant_id == tenant_id else None

    async def api_key(self, key_id: UUID) -> ApiKeyFacts | None:
        self.asked += 1
        return self.keys.get(key_id)

    async def note_key_uses(self, uses: Mapping[UUID, float]) -> None:
        if self.away:
            raise Unavailable
        self.uses.append(dict(uses))


class FakeCache:
    """What all replicas share."""

    def __init__(self) -> None:
        self.entries: dict[UUID, tuple[UserFacts, int]] = {}

    async def get(self, tenant_id: UUID, user_id: UUID) -> tuple[UserFacts, int] | None:
        return self.entries.get(user_id)

    async def put(self, facts: UserFacts, seq: int) -> None:
        self.entries[facts.user_id] = facts, seq


class FakeSigningKeys:
    """A ring that learns a key when it is refreshed."""

    def __init__(self) -> None:
        self.known = {"k1": KEY}
        self.late: dict[str, SigningKey] = {}
        self.refreshes = 0

    def signing(self, now: float) -> SigningKey:
        return KEY

    def verifying(self, kid: str, now: float) -> rsa.RSAPublicKey | None:
        key = self.known.get(kid)
        return key.public if key else None

    async def refresh_for(self, kid: str) -> bool:
        self.refreshes += 1
        self.known |= self.late
        return kid in self.known


class Process:
    """One replica over the shared fakes."""

    def __init__(self, changes: FakeChanges, principals: FakePrincipals, cache: FakeCache, clock: FakeClock) -> None:
        self.clock, self.keys = clock, FakeSigningKeys()
        self.feed = IdentityFeed(changes, clock, monotonic=clock.now)
        self.uses = KeyUses(principals, clock)
        self.issuer = TokenIssuer(KEY, clock)
        self.authenticator = Authenticator(
            verifier=TokenVerifier(self.keys, clock),
            keys=self.keys,
            feed=self.feed,
            standings=Standings(principals, cache, self.feed),
            repository=principals,
            uses=self.uses,
            clock=clock,
        )

    async def lets_in(self, credential: str):
        return await self.authenticator.authenticate(credential)


@dataclass
class World:
    """What replicas share."""

    changes: FakeChanges = field(default_factory=FakeChanges)
    principals: FakePrincipals = field(default_factory=FakePrincipals)
    cache: FakeCache = field(default_factory=FakeCache)
    clock: FakeClock = field(default_factory=FakeClock)

    async def process(self) -> Process:
        process = Process(self.changes, self.principals, self.cache, self.clock)
        await process.feed.poll()
        return process


@pytest.fixture
def world() -> World:
    world = World()
    world.principals.users[USER.id] = FACTS
    return world


async def test_a_known_token_asks_nobody(world: World) -> None:
    process = await world.process()
    token = process.issuer.issue(USER, new_id()).token
    first = await process.lets_in(token)
    for _ in range(100):
        assert await process.lets_in(token) is first
    assert world.principals.asked == 1
    another = await process.lets_in(process.issuer.issue(USER, new_id()).token)
    assert (world.principals.asked, another.permissions) == (1, BUILT_IN["member"])


async def test_a_known_token_expires(world: World) -> None:
    process = await world.process()
    token = process.issuer.issue(USER, new_id()).token
    principal = await process.lets_in(token)
    world.clock.time += 3606
    await process.feed.poll()
    for attempt in (process.lets_in(token), process.authenticator.check(principal)):
        with pytest.raises(TokenExpired):
            await attempt


async def test_other_peoples_changes_cost_no_reading(world: World) -> None:
    process = await world.process()
    token = process.issuer.issue(USER, new_id()).token
    await process.lets_in(token)
    for _ in range(5):
        world.changes.add("user", new_id())
        world.changes.add("session", new_id())
        world.changes.add("role", "member", tenant_id=new_id())
        await process.feed.poll()
        await process.lets_in(token)
    assert world.principals.asked == 1


async def test_a_late_writer_of_the_cache_is_not_believed(world: World) -> None:
    """It read the row before the change, and writes what it read after everybody forgot it."""
    slow, quick = await world.process(), await world.process()
    world.principals.gate = asyncio.Event()
    token = slow.issuer.issue(USER, new_id()).token
    reading = asyncio.create_task(slow.lets_in(token))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    world.principals.users[USER.id] = replace(FACTS, active=False)
    world.changes.add("user", USER.id)
    for process in (slow, quick):
        await process.feed.poll()
    world.principals.gate.set()
    await reading  # it was under way when the change came
    await asyncio.sleep(0)
    assert world.cache.entries[USER.id] == (FACTS, 0)
    for process in (quick, slow):
        with pytest.raises(TokenRevoked):
            await process.lets_in(token)


async def test_an_entry_from_the_future_is_not_believed(world: World) -> None:
    """The database was restored from a backup; Redis was not."""
    process = await world.process()
    await world.cache.put(replace(FACTS, role="owner"), 17)
    token = process.issuer.issue(USER, new_id()).token
    assert (await process.lets_in(token)).role == "member"


async def test_what_is_remembered_longer_than_changes_are_is_read_anew(world: World) -> None:
    process = await world.process()
    key_id = new_id()
    text, secret_hash = API_KEY.make(key_id)
    facts = ApiKeyFacts(key_id, USER.tenant_id, USER.id, secret_hash, frozenset(PERMISSIONS), None, False)
    world.principals.keys[key_id] = facts
    await process.lets_in(text)
    world.changes.add("user", USER.id, life_s=7200)
    world.principals.users[USER.id] = replace(FACTS, active=False)
    await process.feed.poll()
    world.clock.time += 7300
    world.changes.rows.clear()
    world.changes.add("user", new_id(), life_s=99999)
    await process.feed.poll()
    assert world.changes.swept == 2
    assert process.feed._marks.keys() == set()  # forgotten, and yet:
    world.cache.entries.clear()
    with pytest.raises(TokenRevoked):
        await process.lets_in(text)


async def test_one_reading_serves_all_who_wait(world: World) -> None:
    process = await world.process()
    world.principals.gate = asyncio.Event()
    tokens = [process.issuer.issue(USER, new_id()).token for _ in range(20)]
    waiting = [asyncio.create_task(process.lets_in(token)) for token in tokens]
    for _ in range(5):
        await asyncio.sleep(0)
    waiting[0].cancel()
    world.principals.gate.set()
    found = await asyncio.gather(*waiting, return_exceptions=True)
    assert isinstance(found[0], asyncio.CancelledError)
    assert {getattr(each, "user_id", None) for each in found[1:]} == {USER.id}
    assert world.principals.asked == 1


async def test_a_failed_reading_is_tried_again(world: World) -> None:
    process = await world.process()
    token = process.issuer.issue(USER, new_id()).token
    world.principals.away = True
    with pytest.raises(Unavailable):
        await process.lets_in(token)
    world.principals.away = False
    await process.lets_in(token)


async def test_a_stale_feed_lets_nobody_in(world: World) -> None:
    process = await world.process()
    token = process.issuer.issue(USER, new_id()).token
    principal = await process.lets_in(token)
    world.changes.away = True
    world.clock.time += 4.9
    await process.lets_in(token)
    world.clock.time += 0.2
    for attempt in (process.lets_in(token), process.authenticator.check(principal), process.lets_in("x")):
        with pytest.raises(Unavailable):
            await attempt
    world.changes.away = False
    await process.feed.poll()
    await process.lets_in(token)


async def test_the_feed_goes_on_after_an_outage(world: World) -> None:
    process = await world.process()
    world.changes.away = True
    following = asyncio.create_task(process.feed.run())
    await asyncio.sleep(0.01)
    session = new_id()
    world.changes.add("session", session)
    world.changes.away = False
    await asyncio.sleep(0.01)
    assert process.feed.revoked(session)
    following.cancel()


async def test_new_keys_are_asked_for_until_they_come(world: World) -> None:
    asked = []

    async def refresh() -> None:
        asked.append(1)
        if len(asked) == 1:
            raise Unavailable

    feed = IdentityFeed(world.changes, world.clock, refresh, monotonic=world.clock.now)
    world.changes.add("signing_key", "abc", tenant_id=None)
    with pytest.raises(Unavailable):
        await feed.poll()
    for _ in range(3):
        await feed.poll()
    assert len(asked) == 2


async def test_a_token_of_a_key_just_made_waits_for_it(world: World) -> None:
    process = await world.process()
    fresh = SigningKey(rsa.generate_private_key(65537, 2048), "k2")
    token = TokenIssuer(fresh, world.clock).issue(USER, new_id()).token
    with pytest.raises(Unauthenticated):
        await process.lets_in(token)
    process.keys.late = {"k2": fresh}
    await process.lets_in(token)
    refreshes = process.keys.refreshes
    for nonsense in ("a.b.c", "", "x" * 5000, "é", token + "x"):
        with pytest.raises(Unauthenticated):
            await process.lets_in(nonsense)
    assert process.keys.refreshes == refreshes


async def test_until_refused_tells_why_and_waits_out_outages(world: World) -> None:
    process = await world.process()
    session = new_id()
    principal = await process.lets_in(process.issuer.issue(USER, session).token)
    waiting = asyncio.create_task(process.authenticator.until_refused(principal))
    await asyncio.sleep(0)
    world.changes.add("user", USER.id)
    await process.feed.poll()
    await asyncio.sleep(0.01)
    assert not waiting.done()  # only a change of role
    world.changes.add("session", session)
    await process.feed.poll()
    assert isinstance(await asyncio.wait_for(waiting, 1), TokenRevoked)


async def test_key_uses_are_written_once_a_minute_and_never_lost() -> None:
    clock, principals = FakeClock(), FakePrincipals()
    uses, key_id = KeyUses(principals, clock), new_id()
    for second in range(125):
        uses.note(key_id, clock.time + second)
    await uses.write()
    await uses.write()
    assert principals.uses == [{key_id: clock.time + 120}]
    principals.away = True
    uses.note(key_id, clock.time + 200)
    with pytest.raises(Unavailable):
        await uses.write()
    principals.away = False
    await uses.write()
    assert principals.uses[-1] == {key_id: clock.time + 200}


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (FACTS, BUILT_IN["member"]),
        (replace(FACTS, active=False), frozenset()),
        (replace(FACTS, role="gone"), frozenset()),
        (replace(FACTS, role="own", granted=frozenset({"audit:read", "platform:write", "x"})), {"audit:read"}),
        (replace(FACTS, role="owner", granted=frozenset({"audit:read"})), BUILT_IN["owner"]),
        (replace(FACTS, role="owner", platform=True), frozenset(PERMISSIONS)),
        (replace(FACTS, role="owner", platform=True, active=False), frozenset()),
        (replace(FACTS, role="end_customer", kind="visitor", platform=True), BUILT_IN["end_customer"]),
    ],
)
def test_permissions_follow_from_facts(facts: UserFacts, expected: frozenset[str]) -> None:
    assert facts.permissions() == expected


def test_the_least_recently_used_goes() -> None:
    memory: Lru[int, str] = Lru(2)
    memory.put(1, "a")
    memory.put(2, "b")
    assert memory.get(1) == "a"
    memory.put(3, "c")
    assert (memory.get(2), memory.get(1), memory.get(3), len(memory)) == (None, "a", "c", 2)
    memory.drop(1)
    assert memory.get(1) is None


def test_the_secret_of_a_key_is_compared_by_its_hash() -> None:
    text, secret_hash = API_KEY.make(new_id())
    parsed = API_KEY.parse(text)
    assert parsed is not None
    assert parsed.secret_hash == secret_hash
