"""Config files into one resolved document.

In this order: read the file and what it includes, take ``environment_variables``, then replace every whole
text ``os.environ/NAME``. The variables go into a mapping of our own and never into the environment of the
process, which is itself an argument: this package looks at no other. What stays open is in
:attr:`Document.missing`, since only the translation knows whether it matters.
"""

from __future__ import annotations

import os.path
import pathlib
from collections.abc import Mapping
from typing import Any

import msgspec

from pointsman.config.check import Problem, nearest
from pointsman.config.kinds import name_of
from pointsman.config.marked import parse
from pointsman.config.marks import Path, Place, Spot, spell

MAX_FILE_BYTES = 8 * 1024 * 1024
MAX_FILES = 256
_REFERENCE = "os.environ/"


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
    """All files that were read."""


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


def load_document(path: pathlib.Path, environ: Mapping[str, str]) -> tuple[Document, tuple[Problem, ...]]:
    """Read a config file; problems of files, YAML, includes and variables come beside what could be read."""
    reader = _Reader()
    layer = reader.read(path, Place(str(path)), ())
    document = resolve(layer.tree, environ, file=str(path), spots=layer.spots, problems=reader.problems)
    return msgspec.structs.replace(document, sources=tuple(reader.sources)), tuple(reader.problems)


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

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self.sources: list[str] = []
        self._reads = 0

    def read(self, path: pathlib.Path, asked_at: Place, chain: tuple[str, ...]) -> _Layer:
        """One file under those that include it; ``chain`` is the way here, for cycles."""
        identity = os.path.realpath(path)
        if identity in chain:
            return self._refuse(asked_at, "includes a file that includes this one", "remove one of the includes")
        # Reads are counted, not files: two files that include a third twice each double at every level.
        if self._reads >= MAX_FILES:
            return self._refuse(asked_at, f"includes more than {MAX_FILES} files")
        self._reads += 1
        text = self._text(path, asked_at)
        if text is None:
            return _Layer()
        if str(path) not in self.sources:
            self.sources.append(str(path))
        marked = parse(text, str(path))
        self.problems.extend(marked.problems)
        if marked.tree is None:
            return _Layer()
        if not isinstance(marked.tree, dict):
            return self._refuse(Place(str(path)), f"must be a mapping at its top, not {name_of(marked.tree)}")
        layer = _Layer(tree=marked.tree, spots=marked.spots)
        for place, name in self._includes(layer):
            for key in layer.absorb(self.read(path.parent / name, place, (*chain, identity))):
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

    def _text(self, path: pathlib.Path, asked_at: Place) -> str | None:
        where = "include" if self.sources else ""
        try:
            with path.open("rb") as file:
                data = file.read(MAX_FILE_BYTES + 1)
        except OSError as error:
            self._refuse(asked_at, f"cannot read {path}: {error.strerror or 'not a readable file'}", path=where)
            return None
        if len(data) > MAX_FILE_BYTES:
            self._refuse(Place(str(path)), f"is larger than {MAX_FILE_BYTES // 2**20} MiB")
            return None
        try:
            return data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = data.count(b"\n", 0, error.start) + 1
            self._refuse(Place(str(path), line), "is not UTF-8 text")
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
        name = _reference(value)
        if name is None:
            return value
        found = self._environment.get(name, "")
        # A variable that is set to nothing is the usual way in which compose files leave one out.
        if not found.strip():
            self.missing[path] = name
            return None
        self.replaced.add(path)
        return found


def _reference(value: Any) -> str | None:
    if isinstance(value, str) and value.startswith(_REFERENCE):
        return value.removeprefix(_REFERENCE).strip()
    return None


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
        referred = _reference(value)
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
