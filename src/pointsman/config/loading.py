"""From documents and an environment to a snapshot."""

from __future__ import annotations

import hashlib
import pathlib
from collections.abc import Mapping

import msgspec

from pointsman.config.check import Problem, without_credentials
from pointsman.config.digest import fingerprint
from pointsman.config.discovery import starting_tree
from pointsman.config.document import Document, read_document, resolve
from pointsman.config.marks import Path, Place, spell
from pointsman.config.snapshot import Snapshot, build_snapshot
from pointsman.config.sources.base import MAX_FILE_BYTES, Fetched, beside
from pointsman.config.sources.file import read_files
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
    if path is not None:
        return load_fetched(read_files(path, environ, is_once=True), environ, number)
    return _load(resolve(starting_tree(), environ, file=NO_FILE), (), number)


def load_fetched(fetched: Fetched, environ: Mapping[str, str], number: int = 1) -> Loaded:
    """The same for documents whose bytes are here, wherever they came from."""
    document, found = read_document(fetched, environ)
    if fetched.main in fetched.absent:
        # What it does not hold is no news.
        return Loaded(snapshot=None, problems=found)
    return _load(document, found, number)


def _load(document: Document, found: tuple[Problem, ...], number: int) -> Loaded:
    table, wrong = _own_prices(document)
    snapshot, problems = build_snapshot(
        document,
        vendors=load_vendors(),
        models=load_facts(table),
        number=number,
        found=(*found, *wrong),
        prices=_tables_digest(document),
    )
    return Loaded(snapshot=snapshot, problems=problems)


def _own_prices(document: Document) -> tuple[bytes | None, tuple[Problem, ...]]:
    """The operator's price table, if there is one; a relative name is found beside the config."""
    section = document.tree.get("pointsman_settings")
    name = section.get("prices_file") if isinstance(section, dict) else None
    if not isinstance(name, str) or not name:
        return None, ()
    try:
        table = document.read(name)
        if len(table) > MAX_FILE_BYTES:
            return None, (_wrong(document, f"names a file that is larger than {MAX_FILE_BYTES // 2**20} MiB"),)
        read_table(table)
    except OSError as error:
        return None, (_wrong(document, f"cannot read {without_credentials(error.filename)}: {error.strerror}"),)
    except msgspec.MsgspecError as error:
        return None, (_wrong(document, f"{beside(document.file, name)} is no price table: {error}"),)
    return table, ()


def _tables_digest(document: Document) -> str:
    """Tells the tables that a document names from others: prices, and what is said of models."""
    fetched = document.fetched
    tables = {} if fetched is None else {n: d for n, d in fetched.documents.items() if n not in document.sources}
    return "" if not tables else fingerprint([hashlib.sha256(data).hexdigest() for data in tables.values()])


def _wrong(document: Document, what: str) -> Problem:
    spot = document.spots.get(PRICES_FILE)
    place = spot.value if spot else Place(document.file)
    return Problem.at(place, "error", spell(PRICES_FILE), what, "pointsman prices update makes one")
