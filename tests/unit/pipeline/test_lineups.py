from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pointsman.ml import files
from pointsman.ml.base import Table
from pointsman.ml.checkpoint import BadCheckpoint
from pointsman.ml.embedders.remote import Remote
from pointsman.ml.training.fit import train
from pointsman.pipeline.lineups import NO_EXTRAS, Awaited, Extras, Fixed, can_chat, kept_of, lineup_of, routed_model
from pointsman.providers.base import Deployment, ModelFacts, Price
from pointsman.routing.groups import Groups
from pointsman.routing.settings import RoutedSettings, RoutingSettings
from pointsman.telemetry.meters import RoutingMeter

Make = Callable[..., Deployment]
AUTO = RoutedSettings(name="auto")


def _groups(*deployments: Deployment, settings: RoutedSettings = AUTO) -> Groups:
    return Groups(deployments, RoutingSettings(routed={settings.name: settings}))


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What was learnt of the models house and second."""
    directory = tmp_path_factory.mktemp("made") / "checkpoint"
    chance = np.random.default_rng(0)
    prompts = [f"{'sum' if i % 2 else 'poem'} number {i} of {chance.integers(1000)}" for i in range(60)]
    quality = np.array([[1.0, 0.0] if i % 2 else [0.0, 1.0] for i in range(60)], np.float32)
    table = Table(
        prompts=prompts, models=("house", "second"), quality=quality, cost_usd=np.full((60, 2), 0.01, np.float32)
    )
    trained = train(table, "knn")
    about = trained.about(created="2026-01-01T00:00:00Z", sources=())
    files.write(directory, trained.packed(about))
    return directory


def test_all_that_can_chat_are_candidates_unless_some_are_named(deployment: Make) -> None:
    groups = _groups(
        deployment("house"),
        deployment("chatty", mode="chat"),
        deployment("vectors", mode="embedding"),
        deployment("any/*", "*"),
    )
    assert lineup_of(AUTO, groups, {}).names == ("house", "chatty")
    named = RoutedSettings(name="auto", candidates=("vectors", "house", "house", "gone", "auto"))
    assert lineup_of(named, groups, {}).names == ("house",)
    assert [group.name for group in groups if can_chat(group)] == ["house", "chatty", "any/*"]


def test_a_pattern_gives_a_candidate_where_it_is_named(deployment: Make) -> None:
    price = Price(input_usd_per_token=Decimal("0.000002"))
    known = {"openai": {"gpt-x": ModelFacts(vendor="openai", model="gpt-x", price=price)}}
    settings = RoutedSettings(name="auto", candidates=("any/gpt-x",))
    groups = _groups(deployment("any/*", "*", price=Price()), settings=settings)
    (candidate,) = lineup_of(settings, groups, known).candidates
    assert candidate.card.input_usd_per_million == 2.0
    assert "gpt-x" in candidate.names


def test_within_a_group_upstream_models_are_candidates(deployment: Make) -> None:
    settings = RoutedSettings(name="chat", is_within_group=True)
    deployments = [deployment("chat", model, id=f"{model}-{i}") for model in ("large", "small") for i in (1, 2)]
    lineup = lineup_of(settings, _groups(*deployments, settings=settings), {})
    assert lineup.names == ("large", "small")
    assert [len(one.members) for one in lineup.candidates] == [2, 2]


def test_deployments_of_one_model_are_one_candidate_whatever_their_upstreams_call_it(deployment: Make) -> None:
    settings = RoutedSettings(name="chat", is_within_group=True)
    known = {"openai": {"org/small": ModelFacts(vendor="openai", model="org/small")}}
    deployments = [
        deployment("chat", "gpt-4o", id="1"),
        deployment("chat", "my-prod", id="2", info={"base_model": "azure/gpt-4o"}),
        deployment("chat", "org/small", id="3"),
        deployment("chat", "small", id="4"),
        deployment("chat", "other/small", id="5"),
    ]
    lineup = lineup_of(settings, _groups(*deployments, settings=settings), known)
    assert lineup.names == ("gpt-4o", "small", "other/small")
    assert lineup.by_deployment == {"1": "gpt-4o", "2": "gpt-4o", "3": "small", "4": "small", "5": "other/small"}
    assert lineup.known_as(["my-prod"]) == {0: "my-prod"}


def test_weights_say_what_a_group_costs_and_else_its_dearest(deployment: Make) -> None:
    cheap, dear = (Price(input_usd_per_token=Decimal(usd), output_usd_per_token=Decimal(usd)) for usd in ("1", "5"))
    deployments = [
        deployment("house", "a", id="1", price=cheap, weight=3.0),
        deployment("house", "b", id="2", price=dear, weight=1.0),
    ]
    for strategy, usd in (("simple-shuffle", 2.0), ("least-busy", 5.0)):
        groups = Groups(deployments, RoutingSettings(routed={"auto": AUTO}, strategy=strategy))
        (one,) = lineup_of(AUTO, groups, {}).candidates
        assert one.card.input_usd_per_million == usd * 1e6


def test_nobody_to_choose_from_is_refused(deployment: Make) -> None:
    with pytest.raises(ValueError, match="no candidates"):
        lineup_of(AUTO, _groups(deployment("vectors", mode="embedding")), {})


def test_without_a_checkpoint_prices_decide_for_good(deployment: Make) -> None:
    lineup = lineup_of(AUTO, _groups(deployment("house")), {})
    kept = kept_of(AUTO, lineup, NO_EXTRAS, lambda: 0.0)
    assert isinstance(kept, Fixed)
    assert (kept.current.label, kept.status(), kept.counts()) == ("prior", {}, None)


def _kept(directory: Path, deployment: Make, *names: str, extras: Extras = NO_EXTRAS, **more: Any) -> Any:
    settings = RoutedSettings(name="auto", checkpoint=str(directory), **more)
    lineup = lineup_of(settings, _groups(*(deployment(name, f"up-{name}") for name in names)), {})
    return kept_of(settings, lineup, extras, lambda: 5.0)


def test_a_checkpoint_decides(deployment: Make, checkpoint: Path) -> None:
    kept = _kept(checkpoint, deployment, "house", "second", "new")
    assert kept.current.strategy == "knn"
    assert kept.current.unknown == ("new",)
    assert kept.counts().routed_model == "auto"


def test_a_checkpoint_that_knows_nobody_is_refused(deployment: Make, checkpoint: Path) -> None:
    with pytest.raises(BadCheckpoint, match="none of the candidates"):
        _kept(checkpoint, deployment, "stranger")


def test_a_checkpoint_of_another_embedder_is_refused(deployment: Make, checkpoint: Path) -> None:
    # It brings its own, so what is configured beside is of no use to it, and does no harm.
    kept = _kept(checkpoint, deployment, "house", extras=Extras(embedder=Remote("emb", 3)))
    assert kept.current.learned.featurizer.embedder.is_quick


def test_a_checkpoint_that_is_not_there_is_awaited_where_it_is_read_again(deployment: Make, tmp_path: Path) -> None:
    with pytest.raises(BadCheckpoint):
        _kept(tmp_path / "none", deployment, "house")
    awaited = _kept(tmp_path / "none", deployment, "house", has_hot_reload=True)
    assert isinstance(awaited, Awaited)
    assert (awaited.current.label, awaited.counts().version) == ("prior", "")
    assert (awaited.status()["is_awaited"], awaited.status()["problem"]) == (True, None)


def _spoil(checkpoint: Path, to: Path) -> None:
    to.mkdir()
    for file in checkpoint.iterdir():
        (to / file.name).write_bytes(file.read_bytes()[:-1])


@pytest.mark.requirement("routing.checkpoint.reload")
async def test_one_that_arrives_broken_is_told_while_it_is_awaited(
    deployment: Make, tmp_path: Path, checkpoint: Path
) -> None:
    awaited = _kept(tmp_path / "later", deployment, "house", "second", has_hot_reload=True)
    _spoil(checkpoint, tmp_path / "later")
    await awaited.kept.look()
    assert (awaited.current.label, awaited.counts().failures) == ("prior", 1)
    assert (awaited.status()["failures"], awaited.status()["is_awaited"]) == (1, True)
    assert awaited.status()["problem"]["what"]
    # The same when it is broken, or knows nobody, at the start.
    awaited = _kept(tmp_path / "later", deployment, "house", has_hot_reload=True)
    assert (awaited.current.label, awaited.counts().failures) == ("prior", 1)
    assert _kept(checkpoint, deployment, "stranger", has_hot_reload=True).status()["problem"]["what"]


async def test_it_takes_effect_when_it_has_come(deployment: Make, tmp_path: Path, checkpoint: Path) -> None:
    awaited = _kept(tmp_path / "later", deployment, "house", "second", has_hot_reload=True)
    (tmp_path / "later").symlink_to(checkpoint)
    await awaited.kept.look()
    assert awaited.current.strategy == "knn"
    assert (awaited.status()["strategy"], awaited.counts().strategy) == ("knn", "knn")


def test_a_routed_model_is_made_of_settings(deployment: Make) -> None:
    made = routed_model(
        AUTO,
        _groups(deployment("house")),
        {},
        NO_EXTRAS,
        RoutingMeter("auto"),
        clock=lambda: 0.0,
        chance=lambda: 0.0,
        now=lambda: 0.0,
    )
    assert made.lineup.names == ("house",)
