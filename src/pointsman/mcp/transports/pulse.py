"""Whether a process goes on living, known sooner than its end.

A process that was sent SIGKILL may still take what is in its pipes: the system call that it waits in returns, only the
process does not. What it takes so would seem to have been seen by it. So whoever writes to it looks here first.
"""

from __future__ import annotations

import os
import signal
from typing import Final

_STAT_BYTES: Final = 1024
# Fields of /proc/PID/stat after the name, see proc_pid_stat(5).
_STATE, _FLAGS, _PENDING = 0, 6, 28
_DYING: Final = 0x4 | 0x400
"""PF_EXITING and PF_SIGNALED of the kernel."""
_KILLED: Final = 1 << (signal.SIGKILL - 1)


class Pulse:
    """That of a process which lives now. Where the system does not tell, it always beats."""

    def __init__(self, pid: int) -> None:
        try:
            # The open file stands for this process, also when another one has its id.
            self._file = os.open(f"/proc/{pid}/stat", os.O_RDONLY)
        except OSError:
            self._file = -1

    @property
    def beats(self) -> bool:
        """Whether it is neither dead nor about to be."""
        if self._file < 0:
            return True
        try:
            fields = os.pread(self._file, _STAT_BYTES, 0).rpartition(b")")[2].split()
        except OSError:
            return False
        return not (fields[_STATE] in {b"Z", b"X"} or int(fields[_FLAGS]) & _DYING or int(fields[_PENDING]) & _KILLED)

    def close(self) -> None:
        """Look no more."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
