from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from pointsman.edge.routes.models import list_models, model_info, show_model
from pointsman.errors import ModelNotFound

Make = Callable[..., Any]


async def test_models_are_a_list_in_openais_shape(make_serving: Make, make_exchange: Make, wire: Any) -> None:
    await list_models(make_serving(), make_exchange(), {})
    assert wire.json["object"] == "list"
    assert [entry["id"] for entry in wire.json["data"]] == ["house"]


async def test_one_model_is_shown_by_the_name_in_the_path(make_serving: Make, make_exchange: Make, wire: Any) -> None:
    await show_model(make_serving(), make_exchange(), {"model": "house"})
    assert (wire.json["id"], wire.json["object"]) == ("house", "model")
    with pytest.raises(ModelNotFound):
        await show_model(make_serving(), make_exchange(), {"model": "a/b"})


async def test_deployments_are_shown_without_their_credential(
    make_serving: Make, make_exchange: Make, wire: Any
) -> None:
    await model_info(make_serving(), make_exchange(), {})
    assert [entry["model_info"]["id"] for entry in wire.json["data"]] == ["house-id"]
    assert b"canary" not in wire.sent


async def test_clients_of_anthropic_get_its_shape(make_serving: Make, make_exchange: Make, wire: Any) -> None:
    exchange = make_exchange()
    exchange.dialect = "anthropic"
    await list_models(make_serving(), exchange, {})
    listed = wire.json
    assert (listed["has_more"], listed["first_id"], listed["last_id"]) == (False, "house", "house")
    assert listed["data"] == [
        {"type": "model", "id": "house", "display_name": "house", "created_at": "2023-02-28T18:56:42Z"}
    ]


class Agents:
    """Agents that somebody may ask like models."""

    async def models(self, caller: Any) -> list[dict[str, Any]]:
        assert caller is not None
        return [{"id": name, "object": "model", "created": 1} for name in ("a2a/far", "house")]


@pytest.mark.requirement("a2a.chat")
async def test_agents_are_listed_among_the_models(make_serving: Make, make_exchange: Make, wire: Any) -> None:
    serving = replace(make_serving(), a2a=Agents())
    await list_models(serving, make_exchange(), {})
    assert [entry["id"] for entry in wire.json["data"]] == ["house", "a2a/far"]


@pytest.mark.requirement("a2a.chat")
async def test_one_agent_is_shown_like_a_model(make_serving: Make, make_exchange: Make, wire: Any) -> None:
    serving = replace(make_serving(), a2a=Agents())
    await show_model(serving, make_exchange(), {"model": "a2a/far"})
    assert wire.json["id"] == "a2a/far"
    with pytest.raises(ModelNotFound):
        await show_model(serving, make_exchange(), {"model": "a2a/none"})
