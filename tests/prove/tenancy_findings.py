"""Judging: what a response shows of the victim, and whether it gives away that something exists."""

import json
import re
from collections import Counter
from dataclasses import dataclass, field

from tests.prove.tenancy_asgi import Reply
from tests.prove.tenancy_slots import Probe
from tests.prove.tenancy_things import UUID_TEXT

_TIMES = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+(?:Z|\+00:00)|\d{4}-\d\d-\d\d \d\d:\d\d:\d\d")
_NUMBERED = re.compile(r"zq[0-9a-f]{16}[ .-]\d+")
_FLOATS = re.compile(r"\d+\.\d+(?:e-?\d+)?")
_VOLATILE = ("ratelimit", "date", "traceparent", "x-request-id", "content-length", "set-cookie", "retry-after")


@dataclass
class Findings:
    """What was found wrong, by kind of probe, and how much was tried."""

    probes: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    covered: set[str] = field(default_factory=set)
    wrong: dict[str, str] = field(default_factory=dict)
    count: int = 0

    def add(self, probe: object, what: str) -> None:
        self.count += 1
        self.wrong.setdefault(f"{str(probe).split('?')[0]}"[:90] + what[:40], f"{probe}: {what}")

    def lines(self, most: int = 12) -> str:
        return " | ".join(list(self.wrong.values())[:most])


def look(reply: Reply, values: tuple[str, ...]) -> tuple[int, str, tuple[str, ...]]:
    """A response without what differs from one request to the next."""
    text = reply.body.decode("utf-8", "replace")
    for value in values:
        text = text.replace(value, "<id>")
    text = UUID_TEXT.sub("<id>", re.sub(r'"trace_id":"\w*"', "", text))
    if reply.status < 400:
        text = _FLOATS.sub("<n>", _NUMBERED.sub("<text>", _TIMES.sub("<time>", text)))
    headers = sorted(name for name in reply.headers if not name.startswith(_VOLATILE))
    return reply.status, text, tuple(headers)


def difference(seen: tuple[int, str, tuple[str, ...]], expected: tuple[int, str, tuple[str, ...]]) -> str:
    if seen[0] != expected[0]:
        return f"{seen[0]} {seen[1][:160]} / {expected[0]} {expected[1][:160]}"
    if seen[2] != expected[2]:
        return f"headers {set(seen[2]) ^ set(expected[2])}"
    place = next((i for i, (a, b) in enumerate(zip(seen[1], expected[1], strict=False)) if a != b), 0)
    return (
        f"{seen[0]} ...{seen[1][max(0, place - 40) : place + 80]} / ...{expected[1][max(0, place - 40) : place + 80]}"
    )


def leaked(probe: Probe, reply: Reply) -> str:
    """What of the victim's is in the response that the request did not bring itself."""
    request = probe.request
    sent = " ".join([*probe.stolen, request.path, json.dumps(request.headers), str(request.body)]).lower()
    text = reply.body.decode("utf-8", "replace") + json.dumps(reply.headers)
    if probe.victim.secret in text and probe.victim.secret not in sent:
        return "the victim's secret"
    ids = {found for found in UUID_TEXT.findall(text.lower()) if found in probe.victim.every_id}
    return ", ".join(sorted(found for found in ids if found not in sent and found.replace("-", "") not in sent))
