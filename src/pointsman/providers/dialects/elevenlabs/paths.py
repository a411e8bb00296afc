"""Where operations are found below the address of a deployment."""

from __future__ import annotations

from typing import Final

_ROOT: Final = "/v1"


def path_of(base_path: str, below: str) -> str:
    """Path of what is ``below`` the root. The address may point at the bare host, at the root or at the path itself."""
    base = base_path.rstrip("/").removesuffix(below)
    return (base if base.endswith(_ROOT) else base + _ROOT) + below
