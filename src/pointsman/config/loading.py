"""From a path and an environment to a snapshot."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping

import msgspec

from pointsman.config.check import Problem
from pointsman.config.discovery import starting_tree
from pointsman.config.document import load_document, resolve
from pointsman.config.snapshot import Snapshot, build_snapshot
from pointsman.providers.registry import load_facts, load_vendors

NO_FILE = "(no config file)"


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
    snapshot, problems = build_snapshot(
        document, vendors=load_vendors(), facts=load_facts(), number=number, found=found
    )
    return Loaded(snapshot=snapshot, problems=problems)
