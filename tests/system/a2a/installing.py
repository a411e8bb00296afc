"""What the tests of A2A need from PyPI and npm: the SDK of the older version, and both of npm's."""

from __future__ import annotations

from pathlib import Path

from system import installing

FOLDER = Path(__file__).parent


def legacy_python() -> Path:
    """The Python that has the SDK 0.3."""
    return installing.venv(FOLDER, "sdk-0")


def scripts() -> Path:
    """The folder of the clients in JavaScript, with their SDKs."""
    installing.packages(FOLDER / "node")
    return FOLDER / "node"
