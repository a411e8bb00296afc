"""What an agent may be called: the same for those of the config and those of the registry."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

RESERVED: Final = frozenset({"agents", "tasks", "push", "v1", "message", "extendedagentcard"})
"""What stands in the place of an id in paths below ``/a2a/``."""
AS_MODEL: Final = "a2a/"
"""So the names of agents begin where models are asked for."""
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


def wrong_id(agent_id: str) -> str | None:
    """What is wrong with the id of an agent; ``None``: nothing."""
    if not _ID.fullmatch(agent_id):
        return "the id of an agent has 1 to 64 of the characters A-Z a-z 0-9 _ -, and begins with a letter or a digit"
    if agent_id.lower() in RESERVED:
        return f"the id {agent_id} is reserved: paths below /a2a/ need {', '.join(sorted(RESERVED))}"
    return None


def wrong_model(model: str) -> str | None:
    """What is wrong with a model that is to be published as an agent; ``None``: nothing."""
    return "is an agent, and only a model can be published as one" if model.startswith(AS_MODEL) else None


def wrong_jwk(key: Mapping[str, Any]) -> str | None:
    """What is wrong with a key that signatures are checked with; ``None``: nothing."""
    if key.get("kty") not in {"EC", "RSA", "OKP"}:
        return "a key is a JSON Web Key with kty EC, RSA or OKP"
    return "a private key is nothing that is needed here" if "d" in key else None
