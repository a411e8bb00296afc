from __future__ import annotations

import pytest

from pointsman.routing.regions import answers_in, not_there


@pytest.mark.requirement("routing.regions")
@pytest.mark.parametrize(
    ("region", "wanted", "is_met"),
    [
        ("eu-central-1", "eu-central-1", True),
        ("eu-central-1", "eu-central", True),
        ("eu-central-1", "eu-west-1", False),
        ("eu-central-1", "eu-c", False),
        ("europe-west3", "europe", True),
        ("eu", "eu-central-1", False),
        ("global", "eu", False),
        (None, "eu", False),
        ("westus", "west", False),
    ],
)
def test_a_region_is_met_by_itself_or_by_what_lies_in_it(region: str | None, wanted: str, is_met: bool) -> None:
    assert answers_in(region, [(wanted,)]) is is_met


EUROPE = ("eu", "eu-west-1", "europe-west4", "europe", "westeurope", "germanywestcentral", "uksouth", "swedencentral")
STATES = ("us", "us-east-1", "us-central1", "eastus", "eastus2", "southcentralus")
ELSEWHERE = ("ap-south-1", "asia-east1", "australiaeast", "brazilsouth", "ca-central-1", "global", "apac", "usable")


@pytest.mark.requirement("routing.regions")
@pytest.mark.parametrize(("wanted", "there"), [("eu", EUROPE), ("us", STATES)])
def test_continents_are_known_by_the_names_of_all_providers(wanted: str, there: tuple[str, ...]) -> None:
    every = (*EUROPE, *STATES, *ELSEWHERE)
    assert [region for region in every if answers_in(region, [(wanted,)])] == list(there)


def test_one_region_of_each_demand_is_enough_and_needed() -> None:
    assert answers_in("eu-west-1", [("us", "eu"), ("eu-west-1",)])
    assert not answers_in("eu-west-2", [("us", "eu"), ("eu-west-1",)])
    assert answers_in(None, [])


def test_a_refusal_says_what_was_asked_and_what_there_is() -> None:
    told = not_there("m", [("eu", "us"), ("eu-west-1",)], ["b", None, "a", "b"])
    assert told.param == "allowed_model_region"
    assert "'m' that can take this request answers in eu or us and eu-west-1; its regions are a, b" in told.message
    assert "its regions are not known" in not_there("m", [("eu",)], [None]).message
