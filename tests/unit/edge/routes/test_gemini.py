"""Gemini's listings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pointsman.edge.routes.gemini import METHODS, list_models, show_model
from pointsman.errors import ModelNotFound

Make = Callable[..., Any]


async def test_models_are_listed_in_googles_shape(make_serving: Make, make_exchange: Make, wire: Any) -> None:
    await list_models(make_serving(), make_exchange(), {})
    (entry,) = wire.json["models"]
    assert (entry["name"], entry["displayName"]) == ("models/house", "house")
    assert entry["supportedGenerationMethods"] == list(METHODS)


async def test_one_model_is_shown_by_the_name_in_the_path(make_serving: Make, make_exchange: Make, wire: Any) -> None:
    await show_model(make_serving(), make_exchange(), {"model": "house"})
    assert wire.json["name"] == "models/house"
    with pytest.raises(ModelNotFound):
        await show_model(make_serving(), make_exchange(), {"model": "none"})
