"""What the tests of MCP need from PyPI and npm, installed once below this folder and pinned by the locks beside it."""

from __future__ import annotations

import sys
import tarfile
from pathlib import Path
from typing import Literal

from system import installing
from system.installing import PIP, node, packages, run

__all__ = ["FOLDER", "Line", "everything", "node", "packages", "venv"]

FOLDER = Path(__file__).parent
Line = Literal["1", "2"]
"""Of the Python SDK: 1 knows the legacy revisions, 2 those and the modern one."""


def venv(name: str) -> Path:
    """The Python of an environment with what ``locks/{name}.txt`` says."""
    return installing.venv(FOLDER, name)


def everything(line: Line) -> Path:
    """The folder of ``mcp_everything_server``, the server that the conformance suite is made for.

    It is only in the source archive of an SDK.
    """
    lock = FOLDER / "locks" / f"source-{line}.txt"
    place = installing.installed(FOLDER) / f"everything-{line}"
    with installing.installing(place, lock.read_text()) as folder:
        if folder is not None:
            source = ["--no-deps", "--no-binary", ":all:", "--require-hashes"]
            run([sys.executable, *PIP, "download", *source, "-r", lock, "-d", folder])
            unpack(next(folder.glob("*.tar.gz")), "examples/servers/everything-server/", folder)
    return place


def unpack(archive: Path, prefix: str, target: Path) -> None:
    """What lies below ``prefix`` in the one folder of an archive."""
    with tarfile.open(archive) as tar:
        for member in tar.getmembers():
            _, _, path = member.name.partition("/")
            if path.startswith(prefix):
                member.name = path.removeprefix(prefix)
                tar.extract(member, target, filter="data")
