from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pointsman.routing.settings import RoutedSettings, RoutingSettings
from pointsman.wire import operations as op
from pointsman.wire.secret import Secret

Make = Callable[..., Any]


async def test_whole_batches_go_to_the_deployment_that_is_to_run_them_where_its_provider_can(
    make_rig: Make, deployment: Make
) -> None:
    rig = make_rig(
        deployment(id="a"),
        deployment(id="b", runs_batches=True),
        deployment("mocked", id="c", runs_batches=True, mock_response="x"),
        deployment("any/*", id="d", runs_batches=True, upstream_model="*"),
    )
    assert rig.pipeline.batch_targets.choose("house", op.CHAT) is rig.targets["b"]
    assert rig.pipeline.batch_targets.choose("house", op.RERANK) is None
    for model in ("mocked", "any/thing", "nowhere"):
        assert rig.pipeline.batch_targets.choose(model, op.CHAT) is None


async def test_whole_batches_go_to_nobody_who_would_not_get_each_of_their_lines(
    make_rig: Make, deployment: Make
) -> None:
    members = deployment(id="a", runs_batches=True, tags=("paid",)), deployment(id="b", tags=("default",))
    assert make_rig(*members).pipeline.batch_targets.choose("house", op.CHAT) is not None
    tagged = make_rig(*members, routing=RoutingSettings(has_tag_filtering=True))
    assert tagged.pipeline.batch_targets.choose("house", op.CHAT) is None
    routed = make_rig(*members, routing=RoutingSettings(routed={"house": RoutedSettings(name="house")}))
    assert routed.pipeline.batch_targets.choose("house", op.CHAT) is None


async def test_whole_batches_go_to_azures_deployment_for_them_beside_the_one_that_answers_requests(
    make_rig: Make, deployment: Make
) -> None:
    base = "http://up.test"
    rig = make_rig(
        deployment(id="a", vendor="azure", base_url=base),
        deployment(id="b", vendor="azure", base_url=base, upstream_model="up-batch", runs_batches=True),
    )
    target = rig.pipeline.batch_targets.choose("house", op.CHAT)
    assert target is rig.targets["b"]
    assert target.batch_model == "up-batch"


async def test_a_batch_that_is_run_is_found_again_by_its_place_and_its_deployment_goes_first(
    make_rig: Make, deployment: Make
) -> None:
    rig = make_rig(
        deployment(id="a"),
        deployment("mansion", id="b"),
        deployment(id="c", upstream_model="up-2"),
        deployment(id="d", mock_response="x"),
    )
    place = rig.targets["a"].batch_place
    for name, expected in (("a", "a"), ("b", "b"), ("c", "a"), ("gone", "a")):
        assert rig.pipeline.batch_targets.find(place, name, "") is rig.targets[expected]
    assert rig.pipeline.batch_targets.find("elsewhere", "a", "") is None


@pytest.mark.parametrize(
    ("name", "key", "expected"),
    [("a", "sk-third-project", "a"), ("gone", "sk-third-project", "d"), ("gone", "sk-first-project", "b")],
)
async def test_a_batch_whose_deployment_is_gone_is_found_with_its_key_before_others_that_run_batches(
    make_rig: Make, deployment: Make, name: str, key: str, expected: str
) -> None:
    keys = {one: Secret(f"sk-{one}-project") for one in ("first", "second", "third")}
    rig = make_rig(
        deployment(id="a", credential=keys["first"]),
        deployment(id="b", credential=keys["first"], runs_batches=True),
        deployment(id="c", credential=keys["second"], runs_batches=True),
        deployment(id="d", credential=keys["third"]),
    )
    place = rig.targets["a"].batch_place
    was = next(one for one in rig.targets.values() if key in one.secrets)
    assert rig.pipeline.batch_targets.find(place, name, was.credential_digest) is rig.targets[expected]
    assert rig.pipeline.batch_targets.find(place, "gone", "of a key that was changed") is rig.targets["b"]
