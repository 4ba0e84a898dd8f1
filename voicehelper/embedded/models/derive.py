"""Artefacts built from another model, by a module of `actors` in a process of its own (model libraries live there)."""

import shutil
import sys
from pathlib import Path

from voicehelper.embedded.models.job import Cancel
from voicehelper.embedded.models.manifest import Derivation
from voicehelper.errors import ModelUnavailable


def build(derivation: Derivation, source: Path, folder: Path, cancel: Cancel) -> None:
    """Fill `folder` (emptied first) from the file `source`. Raises `ModelUnavailable` when the builder fails."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    command = [sys.executable, "-m", derivation.builder, str(source), str(folder)]
    status, output = cancel.run(command, on_line=lambda line: None, scratch=folder.parent)
    if status != 0:
        shutil.rmtree(folder, ignore_errors=True)
        last = output.strip().splitlines()[-1:] or ["no output"]
        raise ModelUnavailable(f"{derivation.builder} failed: {last[0]}")
