"""A pipeline with a routed model of which a test says what it has learnt."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from unit.routing.learnt import Told, learnt

from pointsman.pipeline.chosen import Chosen
from pointsman.pipeline.lineups import Fixed, lineup_of
from pointsman.pipeline.routed import RoutedModel
from pointsman.routing.settings import RoutedSettings
from pointsman.routing.strategies.learned import Chooser

MODELS = {"house": (0.9, 0.02), "second": (0.6, 0.01), "third": (0.3, 0.001)}
"""Quality and cost of each prompt."""


class Noted:
    """Keeps what was decided."""

    def __init__(self) -> None:
        self.chosen: list[Chosen] = []

    def decided(self, request_id: str, chosen: Chosen) -> None:
        self.chosen.append(chosen)

    def settled(self, *_: object) -> None: ...


def chat(*messages: tuple[str, str], model: str = "auto", **members: Any) -> bytes:
    """A body; messages are pairs of role and text."""
    turns = [{"role": role, "content": text} for role, text in messages or (("user", "Hello"),)]
    return msgspec.json.encode({"model": model, "messages": turns, **members})


def add_routed(
    rig: Any, settings: RoutedSettings, models: Mapping[str, tuple[float, float]] = MODELS, **about: Any
) -> tuple[RoutedModel, Told]:
    """Let the rig's pipeline have this routed model."""
    learned, told = learnt(models, **about)
    lineup = lineup_of(settings, rig.groups, {})
    made = RoutedModel(
        settings,
        lineup,
        Fixed(Chooser(learned, lineup)),
        rig.groups,
        meter=rig.metrics.bind_routed(settings.name),
        clock=rig.clock,
        chance=lambda: 0.0,
    )
    rig.pipeline.routed[settings.name] = made
    return made, told


def routed_rig(groups: Callable[..., Any], *, about: Mapping[str, Any] | None = None, **settings: Any) -> Any:
    """Three models and ``auto`` over them; ``rig.routed`` and ``rig.told`` are what decides."""
    mine = RoutedSettings(name="auto", **settings)
    rig = groups(routed={"auto": mine})
    rig.routed, rig.told = add_routed(rig, mine, **(about or {}))
    return rig
