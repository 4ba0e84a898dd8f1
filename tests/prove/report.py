"""One line per proven point: what, figure, pass or not."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class Outcome:
    """Filled in by the check; a check that raises has failed."""

    ok: bool = False
    figure: str = ""


@dataclass
class Report:
    failed: list[str] = field(default_factory=list)

    @contextmanager
    def point(self, what: str) -> Iterator[Outcome]:
        outcome, started = Outcome(), time.monotonic()
        try:
            yield outcome
        except Exception as error:  # noqa: BLE001 - the other points must still be proven
            outcome.ok, outcome.figure = False, f"{type(error).__name__}: {str(error)[:300]}"
        if not outcome.ok:
            self.failed.append(what)
        mark = "pass" if outcome.ok else "FAIL"
        print(f"{mark}  {what}: {outcome.figure}  [{time.monotonic() - started:.1f} s]", flush=True)
