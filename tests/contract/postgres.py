"""A PostgreSQL server of the tests' own, that they can also kill and freeze."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path

DEBIAN = Path("/usr/lib/postgresql")
USER = "postgres"
START_SECONDS = 60


def program(name: str) -> str | None:
    """Where it is, the latest version first; Debian has it off the path."""
    found = sorted(DEBIAN.glob(f"*/bin/{name}"), key=lambda path: int(path.parts[-3]))
    return str(found[-1]) if found else shutil.which(name)


class PostgresServer:
    """Listens on a free port of 127.0.0.1, with its data in a directory of its own."""

    def __init__(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.port: int = listener.getsockname()[1]
        self._directory = Path(tempfile.mkdtemp(prefix="pointsman-postgres-"))
        self._data = self._directory / "data"
        # It does not run as root.
        self._user = USER if os.geteuid() == 0 else None
        if self._user is not None:
            shutil.chown(self._directory, self._user)
        self._run("initdb", "-D", self._data, "-A", "trust", "-U", USER, "--no-sync", "-E", "UTF8")

    def url(self, database: str) -> str:
        return f"postgresql://{USER}@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        options = f"-p {self.port} -h 127.0.0.1 -k {self._directory} -c fsync=off -c max_connections=60"
        self._run("pg_ctl", "-D", self._data, "-l", self._directory / "log", "-w", "-o", options, "start")

    def kill(self) -> None:
        self._run("pg_ctl", "-D", self._data, "-w", "-m", "immediate", "stop")

    def freeze(self) -> None:
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def close(self) -> None:
        if (self._data / "postmaster.pid").exists():
            self.thaw()
            self.kill()
        shutil.rmtree(self._directory)

    def _signal(self, number: signal.Signals) -> None:
        parent = int((self._data / "postmaster.pid").read_text().split()[0])
        children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
        for process in (parent, *map(int, children)):
            # One of a connection that was just closed may be gone.
            with suppress(ProcessLookupError):
                os.kill(process, number)

    def _run(self, name: str, *arguments: str | Path) -> None:
        path = program(name)
        assert path is not None
        subprocess.run(
            [path, *arguments],
            user=self._user,
            group=self._user,
            extra_groups=None if self._user is None else [],
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=START_SECONDS,
            check=True,
        )
