"""Entries of one kind in force: those of the config, and those that clients of a registry have added.

The latter are rows of the store. An id of the config goes before the same one in the store.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Generic, Protocol, TypeVar

from pointsman.store import entries
from pointsman.store.following import Feed, Followed, Source
from pointsman.store.sealing import CannotUnseal, Sealer
from pointsman.telemetry.tasks import Tasks

MAX_ENTRIES: Final = 1000
"""Of one kind, in the store."""


class Entry(Protocol):
    """See :mod:`pointsman.store.entries`."""

    @property
    def id(self) -> str: ...
    @property
    def source(self) -> str:
        """``api``: a client has added it."""


E = TypeVar("E", bound=Entry)
S = TypeVar("S")


def _all(_settings: object) -> Callable[[Any], Any]:
    return lambda entry: entry


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind(Generic[S, E]):
    """What there is a registry of."""

    table: str
    settings: type[S]
    """Those of its gateway, which say by default that the config has no entries."""
    entry: type[E]
    configured: Callable[[S], Iterable[E]]
    """The entries of the config."""
    not_stored: tuple[str, ...]
    """Members that come from the config, and never from a row."""
    admission: Callable[[S], Callable[[E], E]] = _all
    """Makes what each entry of the store goes through, in turn; it raises ``ValueError`` where one is not in force."""
    noun: str
    """What an entry is called in the log."""
    is_double: str
    """Why an entry is not in force that has the id of one of the config."""
    log: logging.Logger

    def to_doc(self, entry: E, sealer: Sealer | None) -> dict[str, Any]:
        """:raises CannotUnseal: there are secrets, and nothing to seal them with"""
        return entries.to_doc(self.table, entry, sealer, but=self.not_stored)

    def from_doc(self, row_id: str, doc: Mapping[str, Any], sealer: Sealer | None) -> E:
        """An entry again.

        :raises CannotUnseal: its credentials cannot be read
        :raises ValueError: somebody else has written it
        """
        return entries.from_doc(self.table, row_id, doc, self.entry, sealer, but=self.not_stored)


class Registry(Generic[S, E]):
    """Lasts as long as the process; its methods belong to the event loop."""

    def __init__(
        self,
        kind: Kind[S, E],
        feed: Callable[[], Awaitable[Feed | None]],
        tasks: Tasks,
        *,
        clock: Callable[[], float],
    ) -> None:
        """``feed`` gives the store as soon as there is one, and raises :class:`Overloaded` while it is away."""
        self.entries: Mapping[str, E] = {}
        """By id, those of the config first; replaced as a whole when anything changes."""
        self.faults: Mapping[str, str] = {}
        """Rows that are not in force, and why, by id."""
        self.on_change: list[Callable[[], None]] = []
        """Called when ``entries`` are other ones."""
        self.settings = kind.settings()
        """Of the config in force."""
        self.kind = kind
        self._stored = Followed(
            kind.table, feed, tasks, self._settle, what=f"registered {kind.noun}s", most=MAX_ENTRIES, clock=clock
        )

    def configure(self, settings: S) -> None:
        """Another config is in force."""
        self.settings = settings
        self._settle()

    async def ready(self) -> None:
        """See to it that ``entries`` are those of the moment, as far as the store says."""
        await self._stored.ready()

    async def load(self) -> None:
        """Read the rows, together with all who want that at the moment."""
        await self._stored.load()

    def heard(self, rows: Iterable[Source] | None) -> None:
        """These rows have changed; ``None``: any may have."""
        self._stored.heard(rows)

    def _settle(self) -> None:
        kind = self.kind
        found = {entry.id: entry for entry in kind.configured(self.settings)}
        faults: dict[str, str] = {}
        admit = kind.admission(self.settings)
        for row in self._stored.rows:
            if row.id in found:
                faults[row.id] = kind.is_double
                continue
            try:
                found[row.id] = admit(kind.from_doc(row.id, row.doc, self._stored.sealer))
            except (CannotUnseal, ValueError) as error:
                faults[row.id] = str(error)
        for row_id, why in faults.items():
            if self.faults.get(row_id) != why:
                kind.log.warning("the registered %s %s is not in force: %s", kind.noun, row_id, why)
        self.faults = faults
        if found != self.entries:
            self.entries = found
            for listener in self.on_change:
                listener()
