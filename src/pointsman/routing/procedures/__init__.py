"""Strategies that ask models on the way: what to ask and when to stop, as generators. The pipeline carries them out.

``automix`` asks a cheap model, has its answer judged, and asks a dear one only if it must. ``knn-multiround`` and
``llm-multiround`` take a question apart. ``r1`` lets a controller think and ask in turns.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from pointsman.routing.procedures.base import Procedure
from pointsman.routing.procedures.cascade import cascade
from pointsman.routing.procedures.multiround import knn_multiround, llm_multiround
from pointsman.routing.procedures.r1 import r1

PROCEDURES: Mapping[str, Procedure] = MappingProxyType(
    {"automix": cascade, "knn-multiround": knn_multiround, "llm-multiround": llm_multiround, "r1": r1}
)
"""By the name of the strategy."""
KNOBS: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "automix": frozenset({"quality", "max_cost"}),
        "knn-multiround": frozenset({"quality", "max_cost", "min_quality", "target_cost", "target_share", "price"}),
        "llm-multiround": frozenset({"max_cost"}),
        "r1": frozenset({"max_cost"}),
    }
)
"""What of a request's wishes each of them heeds."""
