"""The balancing strategies by LiteLLM's names."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from pointsman.routing.members import Member
from pointsman.routing.strategies.cost import cost
from pointsman.routing.strategies.latency import latency
from pointsman.routing.strategies.least_busy import least_busy
from pointsman.routing.strategies.shuffle import shuffle
from pointsman.routing.strategies.usage import usage

Strategy = Callable[[Sequence[Member], float, Callable[[], float]], Member]
"""From the members that can be called (at least one), the time, and a source of chance, to one of them."""

STRATEGIES: Mapping[str, Strategy] = {
    "simple-shuffle": shuffle,
    "least-busy": least_busy,
    "latency-based-routing": latency,
    "cost-based-routing": cost,
    "usage-based-routing": usage,
    "usage-based-routing-v2": usage,
}
LEARNED = (
    "auto",
    "automix",
    "causallm",
    "clusters",
    "custom",
    "elo",
    "gmt",
    "graph",
    "hybrid",
    "knn",
    "knn-multiround",
    "largest",
    "llm-multiround",
    "mf",
    "mlp",
    "r1",
    "ridge",
    "routerdc",
    "smallest",
    "svm",
)
"""Strategies that choose the model by the prompt, as ``llmrouter-<name>`` or in ``model: router/<name>``. Among the
deployments of the model that was chosen one of :data:`STRATEGIES` decides."""
PREFIX = "llmrouter-"
ENFORCES_RATES = frozenset({"usage-based-routing", "usage-based-routing-v2"})
"""Strategies under which a deployment's rpm and tpm are a limit, as in LiteLLM."""
HEEDS_LATENCY = frozenset({"latency-based-routing"})
"""Strategies for which latencies are kept."""


def learned_name(strategy: str) -> str | None:
    """``knn`` of ``llmrouter-knn``; ``None`` for what is no learned strategy."""
    name = strategy.removeprefix(PREFIX)
    return name if strategy.startswith(PREFIX) and name in LEARNED else None
