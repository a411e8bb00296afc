from __future__ import annotations

import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pointsman.assembly.routed import Routed
from pointsman.ml.base import Table
from pointsman.ml.files import write
from pointsman.ml.training.fit import train

Entry = Callable[..., str]


def text(entry: Entry, *, more: str = "", large: str = "x", model: str = "router/knn") -> str:
    known = entry("small") + entry("large", upstream=large)
    auto = f"  - {{model_name: auto, litellm_params: {{model: {model}, candidates: [small, large]{more}}}}}\n"
    return "model_list:\n" + known + auto


@pytest.fixture
def checkpoint(rig: Any) -> Path:
    quality = np.array([[1.0, 0.9], [0.0, 1.0]] * 60, np.float32)
    cost = np.tile(np.array([1e-6, 1e-4], np.float32), (120, 1))
    prompts = [f"{('translate', 'prove')[i % 2]} {i}" for i in range(120)]
    table = Table(prompts=prompts, models=("small", "large"), quality=quality, cost_usd=cost, tasks=[""] * 120)
    trained = train(table, "knn", seed=0, resamples=0)
    write(rig.folder / "router", trained.packed(trained.about(created="2020-01-02T03:04:05Z")))
    made: Path = rig.folder / "router"
    return made


def routed(rig: Any) -> Routed:
    found = rig.assembly.current.routed
    assert isinstance(found, Routed)
    return found


@pytest.mark.requirement("config.swap.learning")
async def test_a_routed_model_that_stays_the_same_goes_on_with_checkpoint_sessions_and_learning(
    rig: Any, entry: Entry, checkpoint: Path
) -> None:
    more = ", model_path: router, hot_reload: true"
    rig.begin(text(entry, more=more))
    before = routed(rig)
    old = before.parts["auto"]
    await rig.change(text(entry, more=more) + "litellm_settings: {request_timeout: 9}\n")
    after = routed(rig)
    new = after.parts["auto"]
    assert new.model is not old.model
    assert new.model.kept is old.model.kept
    assert new.checkpoint is old.checkpoint is not None
    assert new.model.sessions is old.model.sessions
    assert new.model.tools is old.model.tools
    assert after.decisions.learning["auto"] is before.decisions.learning["auto"]
    assert after.decisions.memory is before.decisions.memory
    assert after.decisions.store is before.decisions.store is not None
    assert new.tasks is old.tasks
    assert not any(task.cancelling() for task in new.tasks)
    assert rig.assembly.current.serving.pipeline.routed["auto"] is new.model


async def test_what_goes_on_learning_does_not_keep_the_snapshot_before(
    rig: Any, entry: Entry, checkpoint: Path
) -> None:
    more = ", model_path: router, hot_reload: true, target_cost: 0.001"
    rig.begin(text(entry, more=more))
    learning, target = routed(rig).decisions.learning["auto"], routed(rig).parts["auto"].model.target
    model = weakref.ref(routed(rig).parts["auto"].model)
    await rig.change(text(entry, more=more) + "litellm_settings: {request_timeout: 9}\n")
    assert routed(rig).decisions.learning["auto"] is learning
    assert target is not None
    target.observe(1.0)
    assert learning.usual_price == routed(rig).parts["auto"].model.price == target.price
    await rig.settle()
    assert rig.assembly.retiring == 0
    assert model() is None


async def test_other_candidates_mean_another_look_at_the_checkpoint(rig: Any, entry: Entry, checkpoint: Path) -> None:
    more = ", model_path: router, hot_reload: true"
    rig.begin(text(entry, more=more))
    before = routed(rig)
    await rig.change(text(entry, more=more, large="y"))
    after = routed(rig)
    old, new = before.parts["auto"], after.parts["auto"]
    assert new.checkpoint is not old.checkpoint
    assert new.model.sessions is old.model.sessions
    assert all(task.cancelling() for task in old.tasks)
    members = rig.assembly.current.groups.members.values()
    assert {one for candidate in new.model.lineup.candidates for one in candidate.members} <= set(members)


async def test_routed_models_come_and_go(rig: Any, entry: Entry) -> None:
    rig.begin("model_list:\n" + entry("small"))
    assert rig.assembly.current.routed is None
    assert list(rig.assembly.learning_counts) == []
    serving = await rig.change(text(entry, model="router/auto"))
    assert serving.decisions is routed(rig).decisions
    assert routed(rig).parts["auto"].checkpoint is None
    assert [one.requested_model for one in rig.assembly.learning_counts] == ["auto"]
    serving = await rig.change("model_list:\n" + entry("small"))
    assert rig.assembly.current.routed is None
    assert serving.decisions is None
    assert rig.assembly.dropped_decisions == 0
    assert list(rig.assembly.checkpoint_counts) == []


async def test_a_checkpoint_that_is_gone_when_it_is_needed_changes_nothing(
    rig: Any, entry: Entry, checkpoint: Path
) -> None:
    before = rig.begin("model_list:\n" + entry("small")).current
    snapshot = rig.snapshot(text(entry, more=", model_path: router"))
    (checkpoint / "manifest.json").unlink()
    with pytest.raises(ValueError, match="router"):
        await rig.assembly.prepare(snapshot)
    assert rig.assembly.current is before


@pytest.mark.requirement("config.swap.learning")
async def test_what_is_learnt_between_preparing_and_the_swap_is_there_after_it(
    rig: Any, entry: Entry, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    more = ", model_path: router, hot_reload: true, online_learning: true"
    rig.begin(text(entry, more=more))
    before = routed(rig)
    model, store = before.parts["auto"].model, before.decisions.store
    assert store is not None
    steps: list[str] = []

    def noted(step: str) -> Callable[..., Any]:
        does = getattr(store, step)

        def note(*what: Any) -> Any:
            steps.append(step)
            return does(*what)

        return note

    for step in ("read", "write"):
        monkeypatch.setattr(store, step, noted(step))
    after = await rig.assembly.prepare(rig.snapshot(text(entry, more=more + ", exploration_share: 0.01")))
    model.sessions.keep(("tenant", "user", "session"), "large", 10, 0.0)
    assert steps == []
    await rig.assembly.swap(after, rig.put.append)
    new = routed(rig).parts["auto"].model
    assert new.learning is not model.learning
    assert new.learning is not None
    assert rig.assembly.learning_counts
    assert steps == ["write", "read"]
    assert new.sessions.find(("tenant", "user", "session"), 1.0) is not None
