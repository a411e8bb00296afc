from __future__ import annotations

from collections.abc import Iterable

from prometheus_client.core import Metric


def shown_by(families: Iterable[Metric]) -> dict[str, float]:
    """Each value by its name and its labels in their order: ``name{a=1,b=2}``."""
    found = {}
    for family in families:
        for sample in family.samples:
            labels = ",".join(f"{name}={value}" for name, value in sorted(sample.labels.items()))
            found[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
    return found
