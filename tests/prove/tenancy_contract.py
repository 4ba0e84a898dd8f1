"""Schemathesis over the whole OpenAPI document, against the real application behind a real socket.

No case may end in a 5xx or in a response that the document does not describe. The accounts are disposable: a case may
log out, change a password or delete what it finds; who lost its login gets a new one, and the case is sent again.
"""

import asyncio
import logging
import random
import socket
import threading
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import requests
import schemathesis
import uvicorn
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.prove.tenancy_asgi import ADMIN, PASSWORD, Direct, application
from tests.prove.tenancy_probes import ENDED
from tests.prove.tenancy_rows import Rows, open_pool
from tests.prove.tenancy_things import SOURCES, Party, Tenant, kind_of
from tests.prove.tenancy_world import World
from voicehelper.config import Settings

T = TypeVar("T")
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
PARTIES = {"owner": 60, "platform": 8, "member": 10, "visitor": 10, "key": 7, "anonymous": 5}
NEGATIVE = 0.35  # share of cases that break the document on purpose
REAL_IDS = 0.7  # share of path parameters that name something that exists
RENEW_EVERY = 150
ROUNDS = 12


@dataclass
class Host:
    """The application in a thread with a loop of its own."""

    settings: Settings
    url: str = ""
    app: Any = None
    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.new_event_loop)
    _server: uvicorn.Server | None = None

    def run(self, work: Coroutine[Any, Any, T], timeout: float = 120) -> T:
        """The result of `work` on the application's loop."""
        found: Future[T] = asyncio.run_coroutine_threadsafe(work, self.loop)
        return found.result(timeout)

    async def serve(self, ready: threading.Event) -> None:
        # IPPROTO_TCP by name, else asyncio does not turn Nagle's algorithm off: 40 ms a response
        with socket.socket(proto=socket.IPPROTO_TCP) as listener:
            listener.bind(("127.0.0.1", 0))
            self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
            async with application(self.settings) as app:
                self.app = app
                config = uvicorn.Config(app, lifespan="off", log_level="critical", access_log=False)
                self._server = uvicorn.Server(config)
                self.loop.call_later(0.2, ready.set)
                await self._server.serve(sockets=[listener])

    def stop(self) -> None:
        if self._server is not None:
            self._server.should_exit = True


@contextmanager
def served(given: Settings) -> Iterator[Host]:
    """The application on a free port, for the length of the block."""
    host, ready = Host(given), threading.Event()
    thread = threading.Thread(target=lambda: host.loop.run_until_complete(host.serve(ready)), daemon=True)
    thread.start()
    try:
        assert ready.wait(60), "the application did not start"
        yield host
    finally:
        host.stop()
        thread.join(30)


@dataclass
class Contract:
    """What was tried and what contradicts the document, one line a kind."""

    cases: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    operations: set[str] = field(default_factory=set)
    wrong: dict[str, str] = field(default_factory=dict)

    def lines(self, most: int = 15) -> str:
        return " | ".join(list(self.wrong.values())[:most])


class Tester:
    """Sends generated cases for one operation after the other."""

    def __init__(self, host: Host, postgres_dsn: str, seed_: int) -> None:
        self._host, self._random, self._seed = host, random.Random(seed_), seed_
        self._session = requests.Session()
        self._session.trust_env = False
        self.contract = Contract()
        direct = Direct(host.app)
        self._document = host.run(direct.call("GET", "/openapi.json")).json()
        self._world = World(direct, Rows(host.run(open_pool(postgres_dsn))), self._document)
        self._tenant = self._fresh()
        self._platform = Party("platform")
        self._platform.renew = self._log_in_platform
        host.run(self._log_in_platform())
        self._operations = {(op.method, op.path): op for op in self._world.operations}

    def _fresh(self) -> Tenant:
        return self._host.run(self._world.tenant("contract"))

    async def _log_in_platform(self) -> None:
        self._platform.token = (await self._world.login(ADMIN, PASSWORD)).json()["access_token"]

    def run(self, count: int) -> Contract:
        """At least `count` cases, spread over the operations; those without parameters have but a few each round."""
        schema = schemathesis.openapi.from_dict(self._document)
        found = [result.ok() for result in schema.get_all_operations()]
        for round_ in range(ROUNDS):
            each = max(2, -(-(count - self.contract.cases) // len(found)))
            for operation in found:
                negative = round(each * NEGATIVE)
                self._fuzz(operation, GenerationMode.POSITIVE, each - negative, round_)
                self._fuzz(operation, GenerationMode.NEGATIVE, negative, round_)
            if self.contract.cases >= count:
                break
        return self.contract

    def _fuzz(self, operation: Any, mode: GenerationMode, examples: int, round_: int) -> None:
        @seed(self._seed + round_)
        @settings(
            max_examples=examples,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy(generation_mode=mode))
        def one(case: Any) -> None:
            self._case(case)

        try:
            one()
        except Exception as error:  # noqa: BLE001 - an operation that cannot be generated in this mode
            if type(error).__name__ not in {"Unsatisfiable", "SkipTest"}:
                self._note(f"{operation.label} {mode}", f"{type(error).__name__}: {str(error)[:300]}")

    def _case(self, case: Any) -> None:
        contract = self.contract
        contract.cases += 1
        contract.operations.add(case.operation.label)
        if contract.cases % RENEW_EVERY == 0:
            self._replenish()
        self._name_things(case)
        party = self._party()
        response = self._send(case, party)
        contract.statuses[response.status_code] += 1
        try:
            case.validate_response(response, checks=CHECKS)
        except FailureGroup as group:
            for failure in group.exceptions:
                what = f"{type(failure).__name__} {getattr(failure, 'message', '')}"[:300]
                shown = f"{party.kind}: {case.operation.label} {response.status_code} {what} {response.content[:160]!r}"
                self._note(f"{case.operation.label} {type(failure).__name__} {response.status_code}", shown)

    def _note(self, kind: str, line: str) -> None:
        self.contract.wrong.setdefault(kind, line.replace("\n", " "))

    def _send(self, case: Any, party: Party) -> Any:
        response = self._call(case, party)
        operation = self._operations.get((case.method, case.path))
        guarded = operation is None or not operation.open
        if guarded and party.renew is not None and _code(response) in ENDED:
            self._renew(party)
            response = self._call(case, party)
        return response

    def _call(self, case: Any, party: Party) -> Any:
        headers = {"Authorization": f"Bearer {party.token}"} if party.token else {}
        return case.call(base_url=self._host.url, session=self._session, headers=headers)

    def _renew(self, party: Party) -> None:
        renew: Callable[[], Coroutine[Any, Any, None]] = party.renew  # type: ignore[assignment]
        try:
            self._host.run(renew())
        except AssertionError:  # disabled, renamed, another password: this tenant is used up
            self._tenant = self._fresh()
            party.token = self._tenant.parties[party.kind].token if party.kind in self._tenant.parties else party.token

    def _replenish(self) -> None:
        """Make new things in place of deleted ones."""
        try:
            self._host.run(self._world.replenish(self._tenant))
        except AssertionError:
            self._tenant = self._fresh()

    def _party(self) -> Party:
        kind = self._random.choices(list(PARTIES), list(PARTIES.values()))[0]
        if kind == "anonymous":
            return Party(kind)
        return self._platform if kind == "platform" else self._tenant.parties[kind]

    def _name_things(self, case: Any) -> None:
        """Path parameters that name something of the tenant's, mostly."""
        operation = self._operations.get((case.method, case.path))
        if operation is None or not case.path_parameters:
            return
        for name in operation.path_names:
            known = self._tenant.of(kind_of(operation, name))
            if known and name in case.path_parameters and self._random.random() < REAL_IDS:
                case.path_parameters[name] = self._random.choice(known)
        if isinstance(case.body, dict):
            for name in {"knowledge_bases"} & set(case.body):
                known = self._tenant.of(SOURCES[name])
                if self._random.random() < REAL_IDS and isinstance(case.body[name], list):
                    case.body[name] = [self._random.choice(known)]


def _code(response: Any) -> int:
    try:
        body = response.json()
    except ValueError:
        return 0
    return body.get("code", 0) if isinstance(body, dict) and response.status_code == 401 else 0


def check_contract(given: Settings, postgres_dsn: str, count: int, seed_: int) -> Contract:
    """Run `count` cases against an application with these settings."""
    for name in ("urllib3", "hypothesis", "schemathesis"):
        logging.getLogger(name).setLevel(logging.ERROR)
    with served(given) as host:
        return Tester(host, postgres_dsn, seed_).run(count)
