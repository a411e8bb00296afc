"""Names that others chose, in the addresses that the gateway calls."""

from __future__ import annotations

from urllib.parse import quote

from pointsman.errors import InvalidRequest

_CLIMBING = frozenset({"", ".", ".."})


def segment(name: str) -> str:
    """``name`` as one segment of a path, percent-encoded: it cannot reach another path, nor begin a query.

    :raises InvalidRequest: it is empty, ``.`` or ``..``, which no encoding keeps from being resolved
    """
    if name in _CLIMBING:
        raise InvalidRequest("The name of the model is not one that an upstream can have", param="model")
    return quote(name, safe="@", errors="replace")
