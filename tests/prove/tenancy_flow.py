"""Point 1 against the whole instance: what must hold on every replica."""

import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import jwt

from tests.prove.tenancy_server import EMAIL, PASSWORD, Cluster

ME = "/api/v1/me"
WITHIN_S = 1.0


def everywhere(server: Cluster, token: str, requests: int = 60, workers: int = 12) -> Counter[tuple[int, int]]:
    """Status and code of many requests at once, so that every replica has some."""

    def one(_: int) -> tuple[int, int]:
        headers = {"Authorization": f"Bearer {token}"}
        reply = httpx.get(server.url + ME, headers=headers, timeout=10, trust_env=False)
        return reply.status_code, reply.json().get("code", 0) if reply.status_code >= 400 else 0

    with ThreadPoolExecutor(workers) as pool:
        return Counter(pool.map(one, range(requests)))


def revocation(server: Cluster) -> tuple[str, bool]:
    """A logged-out token is good on every replica before, and on none a second later."""
    token = server.login()["access_token"]
    before = everywhere(server, token)
    _post(server, "/api/v1/auth/logout", token)
    ended = time.monotonic()
    last_good = 0.0
    while time.monotonic() - ended < WITHIN_S:
        asked = time.monotonic()
        if any(status == 200 for status, _ in everywhere(server, token, 12)):
            last_good = asked - ended
    after = everywhere(server, token, 120)
    figure = f"before {dict(before)}, last let in {last_good:.2f} s after, then {dict(after)}"
    return figure, set(before) == {(200, 0)} and set(after) == {(401, 40104)}


def refresh_reuse(server: Cluster) -> tuple[str, bool]:
    """A refresh token used twice ends the whole family, its access tokens too."""
    first = server.login()
    second = _refresh(server, first["refresh_token"])
    fresh = everywhere(server, second.json()["access_token"], 12)
    replay = _refresh(server, first["refresh_token"])
    heir = _refresh(server, second.json()["refresh_token"])
    time.sleep(WITHIN_S)
    after = everywhere(server, second.json()["access_token"], 60)
    figure = (
        f"rotated {second.status_code}, then {dict(fresh)}; replayed {_code(replay)}, its heir {_code(heir)},"
        f" access token {dict(after)}"
    )
    right = second.status_code == 200 and set(fresh) == {(200, 0)}
    return figure, right and {_code(replay), _code(heir)} == {40104} and set(after) == {(401, 40104)}


def lockout(server: Cluster) -> tuple[str, bool]:
    """Five wrong passwords lock the account on every replica; the right one does not open it; others still log in."""
    email = "locked@example.com"
    with server.api() as api:
        body = {"email": email, "password": PASSWORD, "role": "member"}
        made = api.post("/api/v1/users", json=body)
        made.raise_for_status()
    wrong = [_login(server, email, "Nicht-Das-9") for _ in range(5)]
    after = [_login(server, email, PASSWORD) for _ in range(6)]
    unknown = [_login(server, "nobody@example.com", "Nicht-Das-9") for _ in range(6)]
    other = _login(server, EMAIL, PASSWORD).status_code
    waits = {reply.headers.get("retry-after") is not None for reply in after}
    figure = (
        f"wrong {[_code(r) for r in wrong]}, then the right one {sorted({_code(r) for r in after})},"
        f" unknown account {[_code(r) for r in unknown]}, others {other}"
    )
    right = {_code(reply) for reply in wrong} == {40102} and {_code(reply) for reply in after} == {42903}
    return figure, right and waits == {True} and _code(unknown[-1]) == 42903 and other == 200


def rotation(server: Cluster) -> tuple[str, bool]:
    """A new signing key signs soon, and nobody is logged out by it."""
    token = server.login()["access_token"]
    before = _kid(token)
    made = _post(server, "/api/v1/platform/signing-keys", token)
    published = _kids(server)
    deadline = time.monotonic() + 15
    while _kid(new := server.login()["access_token"]) == before and time.monotonic() < deadline:
        time.sleep(0.3)
    old_one, new_one = everywhere(server, token), everywhere(server, new)
    figure = (
        f"{made.status_code}, {len(published)} keys published, new logins signed by another key: {_kid(new) != before},"
        f" old token {dict(old_one)}, new token {dict(new_one)}"
    )
    right = made.status_code < 300 and before in published and _kid(new) in _kids(server) and _kid(new) != before
    return figure, right and set(old_one) == set(new_one) == {(200, 0)}


def _post(server: Cluster, path: str, token: str) -> httpx.Response:
    reply = httpx.post(server.url + path, headers={"Authorization": f"Bearer {token}"}, timeout=30, trust_env=False)
    reply.raise_for_status()
    return reply


def _refresh(server: Cluster, token: str) -> httpx.Response:
    url = f"{server.url}/api/v1/auth/refresh"
    return httpx.post(url, json={"refresh_token": token}, timeout=30, trust_env=False)


def _login(server: Cluster, email: str, password: str) -> httpx.Response:
    url = f"{server.url}/api/v1/auth/login"
    return httpx.post(url, json={"email": email, "password": password}, timeout=30, trust_env=False)


def _code(reply: httpx.Response) -> int:
    return int(reply.json().get("code", reply.status_code))


def _kid(token: str) -> str:
    return str(jwt.get_unverified_header(token)["kid"])


def _kids(server: Cluster) -> set[str]:
    found: Any = httpx.get(f"{server.url}/.well-known/jwks.json", timeout=10, trust_env=False).json()
    return {key["kid"] for key in found["keys"]}
