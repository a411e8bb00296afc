"""What waits in memory for the database, on the disk as well: it outlives a process that is killed.

A journal is two files among those of the spool, in turns. What comes goes into the one; before all that waits is
written into the database they change places, and when it is there the other one is emptied. Their locks end with the
process: then they are files like those that anybody may read, and what is in the database already counts once.

Writing is for the event loop: a few bytes that the system keeps, and that are not waited for to reach the disk.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from pointsman.store.base import SpendEvent
from pointsman.store.spool import ROWS, Held, begun, framed

FILES: Final = 2


class Journal:
    """Of one process, in the directory of the spool. Its files are made when there is something to write."""

    def __init__(self, directory: Path, writer: str) -> None:
        """``writer`` is letters and digits that no other process has."""
        self._directory = directory
        self._writer = writer
        self._files: list[Held] = []
        """The one that is written, and the one from before."""
        self._sizes = [0] * FILES

    def write(self, events: Sequence[SpendEvent]) -> None:
        """Add ``events``, without their content.

        :raises OSError: the disk does not take them
        """
        frame = framed(events, is_packed=False)
        while len(self._files) < FILES:
            self._files.append(begun(self._directory, f"{self._writer}-journal{len(self._files)}", ROWS))
        self._files[0].append_quickly(frame, self._sizes[0])
        self._sizes[0] += len(frame)

    def turn(self) -> None:
        """All that waits is about to be written; what comes from here on is for the next time."""
        if not all(held.is_there for held in self._files):
            self.close()
        if self._sizes[0] and not self._sizes[1]:
            self._files.reverse()
            self._sizes.reverse()

    def drop(self) -> None:
        """What came before the last turn is somewhere else.

        :raises OSError: the disk does not let go of it
        """
        if self._sizes[1]:
            self._files[1].truncate()
            self._sizes[1] = 0

    def clear(self) -> None:
        """All that came is somewhere else, or is known in another way.

        :raises OSError: the disk does not let go of it
        """
        for held in self._files:
            held.truncate()
        self._sizes = [0] * FILES

    def close(self) -> None:
        """Leave what is in it to whoever comes next, who deletes it."""
        for held, size in zip(self._files, self._sizes, strict=False):
            if not size:
                held.path.unlink(missing_ok=True)
            held.close()
        self._files.clear()
        self._sizes = [0] * FILES
