"""Where the keyword index of a machine lies, and what it is called in the database."""

import os
from pathlib import Path

from voicehelper.config import Settings
from voicehelper.ids import new_id


def keyword_folder(settings: Settings) -> Path:
    """The folder of this machine's keyword index."""
    return settings.home / "keyword"


def index_name(folder: Path) -> str:
    """The index's name in the database: random, kept beside the index, the same for every process that calls."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "name"
    draft = folder / f"name.{os.getpid()}.{new_id()}"
    draft.write_text(f"keyword:{new_id()}")
    try:
        os.link(draft, path)  # atomic, and refused where the name exists
    except FileExistsError:
        pass
    finally:
        draft.unlink()
    return path.read_text()
