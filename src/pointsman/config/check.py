"""Everything that is wrong with a config, at once: path, what, hint, and where it stands.

A :class:`Report` collects :class:`Problem` values while documents are read. ``error`` means that the
gateway does not start with this document; ``warning`` that something is probably not meant so; ``notice``
that something is not acted on. :func:`read_section` checks one mapping against its table in ``grammar.py``.
No problem ever holds a value of the document that could be a credential.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, Literal

import msgspec

from pointsman.config.grammar import SECTIONS
from pointsman.config.kinds import Mismatch, name_of
from pointsman.config.marks import Path, Place, Spot, spell
from pointsman.config.tables import Key, Section

Severity = Literal["error", "warning", "notice"]
MAX_PROBLEMS = 1000

_CREDENTIALS_IN_URL = re.compile(r"(?<=://)[^/@\s]*@|[?#].*", re.DOTALL)
_SECRET_NAME = re.compile(
    r"(^|[_-])(api[_-]?key|key|secret|password|passwd|token|credentials?|authorization|auth_value|cookie)$"
    r"|_url$|(^|[_-])secret[_-]",
    re.IGNORECASE,
)


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """One finding about a config document."""

    severity: Severity
    path: str = ""
    """Such as ``model_list[2].litellm_params.model``; empty when it is about a whole file."""
    what: str
    hint: str = ""
    file: str = ""
    line: int = 1
    column: int = 1

    @classmethod
    def at(cls, place: Place, severity: Severity, path: str, what: str, hint: str = "") -> Problem:
        """A problem at a known place."""
        return cls(
            severity=severity,
            path=path,
            what=what,
            hint=hint,
            file=place.file,
            line=place.line,
            column=place.column,
        )

    def __str__(self) -> str:
        """One line: ``file:line:column: severity: path: what (hint)``."""
        where = f"{self.file}:{self.line}:{self.column}: {self.severity}: "
        return where + (f"{self.path}: " if self.path else "") + self.what + (f" ({self.hint})" if self.hint else "")


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """What a section holds, after checking."""

    values: dict[str, Any]
    """Honoured keys that are set, as their kind reads them."""
    extra: dict[str, Any]
    """Keys outside the table, where the section carries those."""
    is_sound: bool
    """Whether all honoured keys were of their kind."""
    mistaken: frozenset[str] = frozenset()
    """Honoured keys that were not; each has been reported."""


class Report:
    """Collects problems and knows where each path stands.

    ``missing`` maps the paths whose ``os.environ/NAME`` has no value to that name.
    """

    def __init__(self, file: str, spots: Mapping[Path, Spot], missing: Mapping[Path, str]) -> None:
        self._file = file
        self._spots = spots
        self._missing = dict(missing)
        self._problems: list[Problem] = []
        self._unhonoured: dict[tuple[str, str], list[Path]] = {}
        self._told: set[Path] = set()

    @property
    def has_errors(self) -> bool:
        """Whether the gateway must not start with this document."""
        return any(problem.severity == "error" for problem in self._problems)

    def error(self, path: Path, what: str, hint: str = "") -> None:
        """Note what keeps the gateway from starting."""
        self._add(path, "error", what, hint)

    def warning(self, path: Path, what: str, hint: str = "") -> None:
        """Note what is probably not meant so."""
        self._add(path, "warning", what, hint)

    def notice(self, path: Path, what: str, hint: str = "") -> None:
        """Note what the operator should know."""
        self._add(path, "notice", what, hint)

    def extend(self, problems: Iterable[Problem]) -> None:
        """Add problems that were found before."""
        self._problems.extend(problems)

    def unhonoured(self, section: Section, key: str, path: Path) -> None:
        """Remember a known key that nothing acts on; each is named once, however often it stands."""
        self._unhonoured.setdefault((section.name, key), []).append(path)

    def take_missing(self, prefix: Path) -> list[tuple[Path, str]]:
        """Unset variables at or below a path, of which the caller tells."""
        if not self._missing:
            return []
        found = [(path, name) for path, name in self._missing.items() if path[: len(prefix)] == prefix]
        self._told.update(path for path, _ in found)
        return found

    def problems(self) -> tuple[Problem, ...]:
        """All that was found, in the order of the files."""
        found = [*self._problems, *self._unhonoured_notices(), *self._missing_notices()]
        found.sort(key=lambda problem: (problem.file != self._file, problem.file, problem.line, problem.column))
        # Errors come first when there are more than anybody reads.
        if len(found) > MAX_PROBLEMS:
            found.sort(key=lambda problem: ("error", "warning", "notice").index(problem.severity))
        return tuple(found[:MAX_PROBLEMS])

    def _unhonoured_notices(self) -> list[Problem]:
        notices = []
        for paths in self._unhonoured.values():
            more = f", here and in {len(paths) - 1} more places" if len(paths) > 1 else ""
            what = f"is known but not acted on by this version{more}"
            notices.append(Problem.at(self._place(paths[0], is_key=True), "notice", spell(paths[0]), what))
        return notices

    def _missing_notices(self) -> list[Problem]:
        return [
            Problem.at(self._place(path), "notice", spell(path), f"the environment variable {name} is not set")
            for path, name in self._missing.items()
            if path not in self._told
        ]

    def _add(self, path: Path, severity: Severity, what: str, hint: str) -> None:
        self._problems.append(Problem.at(self._place(path), severity, spell(path), what, hint))

    def _place(self, path: Path, *, is_key: bool = False) -> Place:
        for length in range(len(path), -1, -1):
            spot = self._spots.get(path[:length])
            if spot is not None:
                return spot.key if is_key or length < len(path) else spot.value
        return Place(self._file)


def without_secrets(value: Any, path: Path, from_environment: frozenset[Path]) -> Any:
    """A value of a document as listings may show it, at any depth.

    Members that a credential's name announces are left out, and so is what came from a variable.
    """
    if isinstance(value, dict):
        return {
            key: without_secrets(item, (*path, key), from_environment)
            for key, item in value.items()
            if not is_secret_name(str(key)) and (*path, key) not in from_environment
        }
    if isinstance(value, list):
        return [without_secrets(item, (*path, at), from_environment) for at, item in enumerate(value)]
    return value


def without_credentials(text: str) -> str:
    """The same, and of an address only what holds no credential: no user, and no query."""
    return _CREDENTIALS_IN_URL.sub("", text) if "://" in text else text


@lru_cache(4096)
def is_secret_name(name: str) -> bool:
    """Whether a key of this name usually holds a credential."""
    return bool(_SECRET_NAME.search(name))


def nearest(name: str, known: Iterable[str], cutoff: float = 0.75) -> str | None:
    """The known spelling that a name was probably meant to be."""
    matches = difflib.get_close_matches(name, sorted(known), n=1, cutoff=cutoff)
    return matches[0] if matches else None


def read_section(raw: Any, section: Section, path: Path, report: Report) -> Reading:
    """Check a mapping against its table; every problem is reported, and what is sound is returned."""
    if raw is None:
        return Reading(values={}, extra={}, is_sound=True)
    if not isinstance(raw, dict):
        report.error(path, f"must be a mapping, not {name_of(raw)}")
        return Reading(values={}, extra={}, is_sound=False)
    values: dict[str, Any] = {}
    extra: dict[str, Any] = {}
    mistaken: set[str] = set()
    for name, value in raw.items():
        key = section.find(name)
        here = (*path, name)
        if key is None:
            if not _note_unknown(name, section, here, report):
                extra[name] = value
        elif key.standing == "pending":
            report.unhonoured(section, name, here)
            report.take_missing(here)
            if section.unknown == "keep":
                extra[name] = value
        elif not _read_value(key, value, here, values, report):
            mistaken.add(name)
    return Reading(values=values, extra=extra, is_sound=not mistaken, mistaken=frozenset(mistaken))


def _read_value(key: Key, value: Any, path: Path, values: dict[str, Any], report: Report) -> bool:
    """Put a value of its kind into ``values``; nothing is put there for null, which means unset."""
    # What a section holds is read, and its unset variables are reported, when that section is.
    absent = [] if key.section else report.take_missing(path)
    tell = report.warning if key.is_unset_allowed else report.error
    for where, variable in absent:
        tell(where, f"the environment variable {variable} is not set")
    if absent or value is None:
        return not absent or key.is_unset_allowed
    try:
        values[key.name] = key.kind.read(value)
    except Mismatch as mismatch:
        report.error(path, str(mismatch))
        return False
    return True


def _note_unknown(name: str, section: Section, path: Path, report: Report) -> bool:
    """Whether a key outside the table was reported, and is not to be carried."""
    known = section.names()
    if section.unknown == "keep":
        return False
    if section.unknown == "carry":
        meant = nearest(name, known, 0.85)
        if meant is None and not is_secret_name(name):
            return False
        hint = (
            f"did you mean {meant}?" if meant else "a field that looks like a credential is not put into request bodies"
        )
        report.warning(path, "is not a known key and is left out", hint)
        return True
    meant = nearest(name, known)
    report.warning(path, "is not a known key", f"did you mean {meant}?" if meant else _elsewhere(name, section))
    return True


def _elsewhere(name: str, section: Section) -> str:
    homes = [other.name for other in SECTIONS if other is not section and name in other.names()]
    return f"it belongs in {homes[0]}" if homes else ""
