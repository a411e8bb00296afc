"""Where deployments answer, and whether that is where a request may go.

Providers name the same place differently: ``eu-central-1``, ``europe-west3``, ``germanywestcentral``. A demand is such
a name, the beginning of one (``europe``, ``us-east``), or ``eu`` or ``us``: all of Europe, all of the United States.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from pointsman.errors import InvalidRequest

Demand = tuple[str, ...]
"""Regions any of which will do."""

_CONTINENTS = {
    "eu": re.compile(
        r"(eu|europe)(-.*)?|(north|west)europe"
        r"|(austria|belgium|denmark|finland|france|germany|greece|italy|norway|poland|spain|sweden|switzerland|uk)[a-z0-9]*"
    ),
    "us": re.compile(r"us(-.*)?|[a-z]*us[0-9]?"),
}


def answers_in(region: str | None, demands: Iterable[Demand]) -> bool:
    """Whether a deployment of this region meets every one of the demands; one whose region is not known meets none."""
    return all(any(_lies_in(region, wanted) for wanted in demand) for demand in demands)


def _lies_in(region: str | None, wanted: str) -> bool:
    if region is None:
        return False
    continent = _CONTINENTS.get(wanted)
    if continent is not None:
        return continent.fullmatch(region) is not None
    return region == wanted or region.startswith(f"{wanted}-")


def not_there(model: str, demands: Iterable[Demand], regions: Iterable[str | None]) -> InvalidRequest:
    """The refusal of a request that nobody of the ``model`` may take, with the ``regions`` that there are."""
    asked = " and ".join(" or ".join(demand) for demand in demands)
    known = sorted({region for region in regions if region is not None})
    there_are = f"its regions are {', '.join(known)}" if known else "its regions are not known"
    what = f"No deployment of the model {model!r} that can take this request answers in {asked}; {there_are}"
    return InvalidRequest(what, param="allowed_model_region")
