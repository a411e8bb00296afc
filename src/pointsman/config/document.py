"""Config files into one resolved document.

In this order: read the file (or object) and what it includes, take ``environment_variables``, then replace every whole
text ``os.environ/NAME``. The variables go into a mapping of our own and never into the environment of the
process, which is itself an argument: this package looks at no other. What stays open is in
:attr:`Document.missing`, since only the translation knows whether it matters.
"""

from __future__ import annotations

import errno
import os.path
import pathlib
from collections.abc import Mapping
from typing import Any

import msgspec
import platformdirs

from pointsman.config.check import Problem, nearest, without_credentials
from pointsman.config.kinds import name_of
from pointsman.config.marked import parse
from pointsman.config.marks import Path, Place, Spot, spell
from pointsman.config.sources.base import MAX_FILE_BYTES, MAX_FILES, Fetched, beside, directory_of, variable_of
from pointsman.config.sources.file import read_files


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """A config with its includes and variables resolved."""

    file: str
    """The file it began with, for problems that stand nowhere."""
    tree: dict[str, Any]
    spots: dict[Path, Spot] = {}
    environment: dict[str, str] = {}
    """The process's variables under those of ``environment_variables``."""
    missing: dict[Path, str] = {}
    """Paths whose variable is not set, and its name; their value is ``None``."""
    from_environment: frozenset[Path] = frozenset()
    """Paths whose value came from a variable, and may be a credential whatever they are called."""
    sources: tuple[str, ...] = ()
    """All documents that were read."""
    fetched: Fetched | None = None
    """Their bytes, with those of the tables that they name."""

    @property
    def directory(self) -> pathlib.Path:
        """Where files lie whose names are relative to the document."""
        return directory_of(self.file)

    def read(self, name: str) -> bytes:
        """The bytes of a table that the document names; one more than :data:`MAX_FILE_BYTES` where it is too large.

        :raises OSError: it could not be read; ``filename`` says where it was looked for
        """
        where = beside(self.file, name)
        fetched = self.fetched
        if fetched is None:
            raise FileNotFoundError(errno.ENOENT, "there is no document beside which it could be", where)
        return fetched.read(where)


class _Layer(msgspec.Struct, kw_only=True):
    """One file with what it includes, before variables are resolved."""

    tree: dict[str, Any] = {}
    spots: dict[Path, Spot] = {}

    def absorb(self, other: _Layer) -> list[str]:
        """LiteLLM's rule for an included file: lists are joined, other keys are overwritten.

        Returns the keys that were overwritten.
        """
        overwritten = []
        for key, value in other.tree.items():
            mine = self.tree.get(key)
            is_joined = isinstance(mine, list) and isinstance(value, list)
            offset = len(mine) if is_joined and mine is not None else 0
            if is_joined and mine is not None:
                self.tree[key] = mine + value
            else:
                overwritten += [key] if key in self.tree and key != "include" else []
                self.tree[key] = value
                self.spots = {path: spot for path, spot in self.spots.items() if path[:1] != (key,)}
            for path, spot in other.spots.items():
                if path[:1] == (key,) and not (is_joined and len(path) == 1):
                    self.spots[_moved(path, offset)] = spot
        return overwritten


def _moved(path: Path, offset: int) -> Path:
    if len(path) > 1 and isinstance(path[1], int):
        return (path[0], path[1] + offset, *path[2:])
    return path


def data_directory(environ: Mapping[str, str]) -> pathlib.Path:
    """Where the gateway keeps things between runs: ``POINTSMAN_DATA_DIR``, else the user's directory for data."""
    given = environ.get("POINTSMAN_DATA_DIR")
    return pathlib.Path(given).expanduser() if given else platformdirs.user_data_path("pointsman", appauthor=False)


def load_document(path: pathlib.Path, environ: Mapping[str, str]) -> tuple[Document, tuple[Problem, ...]]:
    """Read a config file; problems of files, YAML, includes and variables come beside what could be read."""
    return read_document(read_files(path, environ, is_once=True), environ)


def read_document(fetched: Fetched, environ: Mapping[str, str]) -> tuple[Document, tuple[Problem, ...]]:
    """The same for documents whose bytes are here."""
    reader = _Reader(fetched)
    layer = reader.read(fetched.main, Place(fetched.main), ())
    document = resolve(layer.tree, environ, file=fetched.main, spots=layer.spots, problems=reader.problems)
    document = msgspec.structs.replace(document, sources=tuple(reader.sources), fetched=fetched)
    return document, tuple(reader.problems)


def resolve(
    tree: dict[str, Any],
    environ: Mapping[str, str],
    *,
    file: str,
    spots: dict[Path, Spot] | None = None,
    problems: list[Problem] | None = None,
) -> Document:
    """Apply ``environment_variables`` and ``os.environ/NAME`` to a tree; ``problems`` is appended to."""
    found = [] if problems is None else problems
    places = spots or {}
    environment = {**environ, **_declared(tree.get("environment_variables"), environ, places, found, file)}
    resolver = _Resolver(environment)
    rest = {key: value for key, value in tree.items() if key not in {"environment_variables", "include"}}
    return Document(
        file=file,
        tree={key: resolver.visit(value, (key,)) for key, value in rest.items()},
        spots=places,
        environment=environment,
        missing=resolver.missing,
        from_environment=frozenset(resolver.replaced),
    )


class _Reader:
    """Follows ``include`` and remembers what was read."""

    def __init__(self, fetched: Fetched) -> None:
        self._fetched = fetched
        self.problems: list[Problem] = []
        self.sources: list[str] = []
        self._reads = 0

    def read(self, name: str, asked_at: Place, chain: tuple[str, ...]) -> _Layer:
        """One document under those that include it; ``chain`` is the way here, for cycles."""
        # Links that lead back to the same file are a cycle too.
        identity = name if "://" in name else os.path.realpath(name)
        if identity in chain:
            return self._refuse(asked_at, "includes a file that includes this one", "remove one of the includes")
        # Reads are counted, not files: two files that include a third twice each double at every level.
        if self._reads >= MAX_FILES:
            return self._refuse(asked_at, f"includes more than {MAX_FILES} files")
        self._reads += 1
        text = self._text(name, asked_at)
        if text is None:
            return _Layer()
        if name not in self.sources:
            self.sources.append(name)
        marked = parse(text, name)
        self.problems.extend(marked.problems)
        if marked.tree is None:
            return _Layer()
        if not isinstance(marked.tree, dict):
            return self._refuse(Place(name), f"must be a mapping at its top, not {name_of(marked.tree)}")
        layer = _Layer(tree=marked.tree, spots=marked.spots)
        for place, other in self._includes(layer):
            for key in layer.absorb(self.read(beside(name, other), place, (*chain, identity))):
                what = f"the included file overwrites {key} of this file"
                self.problems.append(Problem.at(place, "notice", "include", what, "keep it in one of the two"))
        return layer

    def _includes(self, layer: _Layer) -> list[tuple[Place, str]]:
        named = layer.tree.get("include")
        if named is None:
            return []
        at = layer.spots[("include",)].value
        names = [named] if isinstance(named, str) else named
        if not isinstance(names, list) or not all(isinstance(name, str) and name for name in names):
            self._refuse(at, "must be a list of file names", path="include")
            return []
        places = [layer.spots.get(("include", index)) for index in range(len(names))]
        return [(spot.value if spot else at, name) for spot, name in zip(places, names, strict=True)]

    def _text(self, name: str, asked_at: Place) -> str | None:
        where = "include" if self.sources else ""
        try:
            data = self._fetched.read(name)
        except OSError as error:
            self._refuse(asked_at, f"cannot read {without_credentials(name)}: {error.strerror}", path=where)
            return None
        if len(data) > MAX_FILE_BYTES:
            self._refuse(Place(name), f"is larger than {MAX_FILE_BYTES // 2**20} MiB")
            return None
        try:
            return data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = data.count(b"\n", 0, error.start) + 1
            self._refuse(Place(name, line), "is not UTF-8 text")
            return None

    def _refuse(self, place: Place, what: str, hint: str = "", path: str = "") -> _Layer:
        self.problems.append(Problem.at(place, "error", path, what, hint))
        return _Layer()


class _Resolver:
    """Replaces references in a tree and notes where."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self.missing: dict[Path, str] = {}
        self.replaced: set[Path] = set()

    def visit(self, value: Any, path: Path) -> Any:
        if isinstance(value, dict):
            return {key: self.visit(item, (*path, key)) for key, item in value.items()}
        if isinstance(value, list):
            return [self.visit(item, (*path, index)) for index, item in enumerate(value)]
        name = variable_of(value)
        if name is None:
            return value
        found = self._environment.get(name, "")
        # A variable that is set to nothing is the usual way in which compose files leave one out.
        if not found.strip():
            self.missing[path] = name
            return None
        self.replaced.add(path)
        return found


def _declared(
    section: Any,
    environ: Mapping[str, str],
    spots: Mapping[Path, Spot],
    problems: list[Problem],
    file: str,
) -> dict[str, str]:
    """Variables of the document itself; those may refer to the process's."""
    declared: dict[str, str] = {}
    if section is None:
        return declared
    if not isinstance(section, dict):
        problems.append(_at(("environment_variables",), "error", "must be a mapping of names to texts", spots, file))
        return declared
    for name, value in section.items():
        path: Path = ("environment_variables", name)
        referred = variable_of(value)
        if referred is not None:
            if referred in environ:
                declared[name] = environ[referred]
            else:
                meant = nearest(referred, environ, 0.85)
                what = f"the environment variable {referred} is not set"
                problems.append(_at(path, "notice", what, spots, file, f"did you mean {meant}?" if meant else ""))
        elif isinstance(value, str | int | float):
            declared[name] = str(value)
        elif value is not None:
            problems.append(_at(path, "error", f"must be text, not {name_of(value)}", spots, file))
    return declared


def _at(path: Path, severity: Any, what: str, spots: Mapping[Path, Spot], file: str, hint: str = "") -> Problem:
    spot = spots.get(path)
    return Problem.at(spot.value if spot else Place(file), severity, spell(path), what, hint)
