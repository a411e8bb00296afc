"""From a path and an environment to a snapshot."""

from __future__ import annotations

import hashlib
import pathlib
from collections.abc import Mapping

import msgspec

from pointsman.config.check import Problem
from pointsman.config.discovery import starting_tree
from pointsman.config.document import MAX_FILE_BYTES, Document, load_document, resolve
from pointsman.config.marks import Path, Place, spell
from pointsman.config.snapshot import Snapshot, build_snapshot
from pointsman.providers.registry import load_facts, load_vendors, read_table

NO_FILE = "(no config file)"
PRICES_FILE: Path = ("pointsman_settings", "prices_file")
"""Where a document names the operator's own price table."""


class Loaded(msgspec.Struct, frozen=True, kw_only=True):
    """What loading gave."""

    snapshot: Snapshot | None
    """``None`` when a problem is an error."""
    problems: tuple[Problem, ...]
    """Errors, warnings and notices, in the order of the files."""


def load(path: pathlib.Path | None, environ: Mapping[str, str], number: int = 1) -> Loaded:
    """Read a config file, or without one serve the providers whose keys are in ``environ``, and the demo.

    Nothing that the file holds makes this raise: what is wrong is in ``problems``, all at once.
    """
    found: tuple[Problem, ...] = ()
    if path is None:
        document = resolve(starting_tree(), environ, file=NO_FILE)
    else:
        document, found = load_document(path, environ)
    table, wrong = _own_prices(document)
    snapshot, problems = build_snapshot(
        document,
        vendors=load_vendors(),
        models=load_facts(table),
        number=number,
        found=(*found, *wrong),
        prices="" if table is None else hashlib.sha256(table).hexdigest(),
    )
    return Loaded(snapshot=snapshot, problems=problems)


def _own_prices(document: Document) -> tuple[bytes | None, tuple[Problem, ...]]:
    """The operator's price table, if there is one; a relative name is found beside the config."""
    section = document.tree.get("pointsman_settings")
    name = section.get("prices_file") if isinstance(section, dict) else None
    if not isinstance(name, str) or not name:
        return None, ()
    file = pathlib.Path(document.file).parent / name
    try:
        with file.open("rb") as opened:
            table = opened.read(MAX_FILE_BYTES + 1)
        if len(table) > MAX_FILE_BYTES:
            return None, (_wrong(document, f"names a file that is larger than {MAX_FILE_BYTES // 2**20} MiB"),)
        read_table(table)
    except OSError as error:
        return None, (_wrong(document, f"cannot read {file}: {error.strerror or 'not a readable file'}"),)
    except msgspec.MsgspecError as error:
        return None, (_wrong(document, f"{file} is no price table: {error}"),)
    return table, ()


def _wrong(document: Document, what: str) -> Problem:
    spot = document.spots.get(PRICES_FILE)
    place = spot.value if spot else Place(document.file)
    return Problem.at(place, "error", spell(PRICES_FILE), what, "pointsman prices update makes one")
