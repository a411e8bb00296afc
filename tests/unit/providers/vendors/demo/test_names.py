from __future__ import annotations

import pytest

from pointsman.errors import InvalidRequest, ModelNotFound
from pointsman.providers.registry import load_facts
from pointsman.providers.vendors.demo.names import MODELS, find_model


def test_every_demo_model_has_facts_of_the_same_mode() -> None:
    facts = load_facts()["demo"]
    assert {model.name: model.mode for model in MODELS} == {name: known.mode for name, known in facts.items()}


def test_a_model_is_found_with_and_without_its_vendor() -> None:
    assert find_model("small", "chat") is find_model("demo/small", "chat")


def test_without_a_name_the_mode_decides() -> None:
    assert find_model(None, "image_generation").name == "image"


def test_a_wrong_name_says_which_there_are() -> None:
    with pytest.raises(ModelNotFound, match="small, medium, large"):
        find_model("gpt-9", "chat")


@pytest.mark.parametrize("name", ["embed", 7])
def test_a_model_for_something_else_is_refused(name: object) -> None:
    with pytest.raises(InvalidRequest) as caught:
        find_model(name, "chat")
    assert caught.value.param == "model"
