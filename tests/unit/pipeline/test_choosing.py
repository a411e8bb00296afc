from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pointsman.errors import InvalidRequest
from pointsman.pipeline.choosing import refuse_routed
from pointsman.routing.groups import Groups
from pointsman.routing.settings import RoutedSettings, RoutingSettings
from pointsman.wire.wishes import Fallback


@pytest.fixture
def groups(deployment: Callable[..., Any]) -> Groups:
    routed = {"auto": RoutedSettings(name="auto"), "house": RoutedSettings(name="house", is_within_group=True)}
    return Groups([deployment()], RoutingSettings(routed=routed))


def test_a_model_that_is_chosen_for_each_prompt_cannot_be_fallen_back_to(groups: Groups) -> None:
    with pytest.raises(InvalidRequest, match="'auto' chooses a model for each prompt") as raised:
        refuse_routed(groups, [Fallback("house"), Fallback("auto")])
    assert raised.value.param == "fallbacks"


def test_one_that_has_deployments_of_its_own_can_and_one_that_is_not_there_is_left_to_others(groups: Groups) -> None:
    refuse_routed(groups, [Fallback("house"), Fallback("nobody")])
