from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from unit.routing.builders import chances, fall_silent, ids, member

from pointsman.routing.candidates import NO_FACTS, Facts, eligible, fitting
from pointsman.routing.members import Member
from pointsman.routing.settings import FailureKind as Kind
from pointsman.wire.needs import Needs

NOW = 1000.0


def fit(members: Sequence[Member], facts: Facts) -> tuple[list[str], dict[str, str]]:
    dropped: dict[str, str] = {}
    return ids(fitting(members, facts, dropped)), dropped


def called(
    members: Sequence[Member],
    *,
    tried: Sequence[Member] = (),
    now: float = NOW,
    chance: float = 0.0,
    enforces_rates: bool = False,
) -> tuple[list[str], dict[str, str]]:
    dropped: dict[str, str] = {}
    kept = eligible(members, now, tried=tried, chance=chances(chance), enforces_rates=enforces_rates, dropped=dropped)
    return ids(kept), dropped


def fail(one: Member, kind: Kind, times: int = 1, now: float = NOW) -> Member:
    for _ in range(times):
        one.enter(now)
        one.fail(kind, now, now, 0.5, None)
    return one


TAGGED = [
    member("free", tags=("free",)),
    member("paid", tags=("paid", "eu")),
    member("both", tags=("free", "paid")),
    member("default", tags=("default",)),
    member("none"),
]


@pytest.mark.parametrize(
    ("tags", "is_any", "kept"),
    [
        (("free",), True, ["free", "both"]),
        (("free", "paid"), True, ["free", "paid", "both"]),
        (("free", "paid"), False, ["both"]),
        (("paid", "eu"), False, ["paid"]),
        (("unknown",), True, ["default"]),
        (("free", "eu"), False, ["default"]),
        ((), True, ["default"]),
        ((), False, ["default"]),
        (("default",), True, ["default"]),
    ],
)
def test_tags_choose_deployments(tags: tuple[str, ...], is_any: bool, kept: list[str]) -> None:
    found, dropped = fit(TAGGED, Facts(tags=tags, tags_match_any=is_any))
    assert found == kept
    assert dropped == {one: "tags" for one in ids(TAGGED) if one not in kept}


@pytest.mark.requirement("routing.regions")
def test_a_region_leaves_out_what_is_elsewhere_or_nobody_knows_where() -> None:
    members = [member("a", region="eu-west-1"), member("b", region="us-east-1"), member("c")]
    assert fit(members, Facts(regions=(("eu",),))) == (["a"], {"b": "region", "c": "region"})
    assert fit(members, Facts(regions=(("eu", "us"),)))[0] == ["a", "b"]
    assert fit(members, Facts(regions=(("eu", "us"), ("us",))))[0] == ["b"]


@pytest.mark.requirement("routing.regions")
def test_deployments_that_are_the_default_answer_for_no_other_region() -> None:
    members = [member("a", region="eu", tags=("free",)), member("b", region="us", tags=("default",))]
    assert fit(members, Facts(regions=(("eu",),), tags=("paid",))) == ([], {"a": "tags", "b": "region"})


def test_where_no_deployment_is_the_default_a_request_without_tags_may_go_anywhere() -> None:
    assert fit(TAGGED[:3], Facts(tags=())) == (["free", "paid", "both"], {})


def test_and_one_whose_tags_fit_nobody_may_go_nowhere() -> None:
    assert fit(TAGGED[:2], Facts(tags=("unknown",))) == ([], {"free": "tags", "paid": "tags"})


def test_where_tags_do_not_matter_all_fit() -> None:
    assert fit(TAGGED, NO_FACTS) == (ids(TAGGED), {})


@pytest.mark.parametrize(
    ("needs", "reason"),
    [({"tools": True}, "tools"), ({"images": True}, "images"), ({"json": True}, "json")],
)
def test_a_model_that_is_known_not_to_take_something_is_left_out(needs: dict[str, Any], reason: str) -> None:
    members = [member("lacks", lacks=frozenset({reason})), member("takes")]
    assert fit(members, Facts(needs=Needs(**needs))) == (["takes"], {"lacks": reason})
    assert fit(members, Facts(needs=Needs())) == (["lacks", "takes"], {})


def test_a_prompt_that_is_certainly_too_long_is_kept_from_a_small_window() -> None:
    members = [member("small", max_input_tokens=100), member("large", max_input_tokens=101), member("unknown")]
    found, dropped = fit(members, Facts(needs=Needs(tokens=101)))
    assert (found, dropped) == (["large", "unknown"], {"small": "context window"})


def test_tags_and_needs_go_together() -> None:
    members = [member("a", tags=("x",), lacks=frozenset({"json"})), member("b", tags=("x",)), member("c")]
    found, dropped = fit(members, Facts(tags=("x",), needs=Needs(json=True)))
    assert (found, dropped) == (["b"], {"a": "json", "c": "tags"})


def test_one_that_rests_is_left_out_until_a_probe_is_due() -> None:
    members = [fail(member("a"), Kind.NOT_FOUND), member("b")]
    assert called(members) == (["b"], {"a": "resting"})
    assert called(members, now=NOW + 5) == (["a", "b"], {})
    members[0].enter(NOW + 5)
    assert called(members, now=NOW + 5) == (["b"], {"a": "resting"})


def test_where_all_rest_nobody_is_fit() -> None:
    members = [fail(member(i), Kind.NOT_FOUND) for i in "ab"]
    assert called(members) == ([], {"a": "resting", "b": "resting"})


def test_lower_orders_go_first() -> None:
    members = [member("a", order=2), member("b", order=1), member("c", order=1), member("d", order=3)]
    assert called(members) == (["b", "c"], {})


def test_the_next_order_serves_when_the_first_rests() -> None:
    members = [member("a", order=2), fail(member("b", order=1), Kind.NOT_FOUND)]
    assert called(members) == (["a"], {"b": "resting"})


def test_whoever_was_tried_comes_only_where_there_is_no_other() -> None:
    a, b = members = [member("a"), member("b", order=2)]
    assert called(members, tried=[a])[0] == ["b"]
    assert called(members, tried=[a, b])[0] == ["a"]


def test_after_a_try_those_that_are_likely_to_answer_go_first() -> None:
    members = [member("a"), fail(member("b"), Kind.TIMEOUT), member("c", order=2)]
    assert called(members)[0] == ["a", "b"]
    assert called(members, tried=members[:1])[0] == ["c"]
    assert called(members, tried=[members[0], members[2]])[0] == ["b"]


def test_those_that_are_full_come_only_where_all_are() -> None:
    a, b = members = [member("a", limit=1), member("b", limit=1)]
    a.enter(NOW)
    assert called(members)[0] == ["b"]
    b.enter(NOW)
    assert called(members)[0] == ["a", "b"]


def test_those_that_have_fallen_silent_come_only_where_all_have() -> None:
    a, b = members = [member("a"), member("b")]
    fall_silent(a, NOW)
    assert called(members) == (["b"], {})
    assert called(members, tried=[b])[0] == ["a"]
    fall_silent(b, NOW)
    assert called(members)[0] == ["a", "b"]


@pytest.mark.parametrize("other", [member("b", order=2), member("b", limit=0)], ids=["order", "full"])
def test_another_order_or_a_queue_is_better_than_silence(other: Member) -> None:
    silent = member("a")
    fall_silent(silent, NOW)
    assert called([silent, other])[0] == ["b"]


def test_rates_that_are_shares_are_kept_while_another_has_room() -> None:
    a, b = members = [member("a", rpm=1), member("b", rpm=1)]
    a.enter(NOW)
    assert called(members) == (["b"], {})
    b.enter(NOW)
    assert called(members) == (["a", "b"], {})


def test_rates_that_are_limits_are_kept() -> None:
    a, b = members = [member("a", rpm=1), member("b", tpm=10)]
    a.enter(NOW)
    assert called(members, enforces_rates=True) == (["b"], {"a": "rate limit"})
    b.enter(NOW)
    b.succeed(NOW, NOW, None, 10)
    assert called(members, enforces_rates=True) == ([], {"a": "rate limit", "b": "rate limit"})
    assert called(members, now=NOW + 60, enforces_rates=True)[0] == ["a", "b"]


def test_rates_that_are_limits_let_the_next_order_serve() -> None:
    first, second = members = [member("first", rpm=1), member("second", order=2)]
    first.enter(NOW)
    assert called(members, enforces_rates=True)[0] == ["second"]
    assert called(members)[0] == ["first"]
    assert second.in_flight == 0


def test_one_that_comes_back_gets_a_part_of_its_share() -> None:
    back, other = members = [fail(member("back"), Kind.NOT_FOUND), member("other")]
    for now in (NOW + 5, NOW + 6):
        back.enter(now)
        back.succeed(now, now, None, 0)
    assert called(members, now=NOW + 6, chance=0.09)[0] == ["back", "other"]
    assert called(members, now=NOW + 6, chance=0.11)[0] == ["other"]
    assert called(members, now=NOW + 11, chance=0.5)[0] == ["back", "other"]
    assert called(members, now=NOW + 16, chance=0.99)[0] == ["back", "other"]
    assert called([back], now=NOW + 6, chance=0.99)[0] == ["back"]
    assert other.is_calm


def test_a_request_may_order_deployments_within_their_own_order() -> None:
    members = [member("a", order=1), member("b", order=1), member("c", order=2)]

    def first(order: dict[str, int]) -> list[str]:
        made = eligible(members, NOW, tried=(), chance=chances(0.0), enforces_rates=False, dropped={}, order=order)
        return ids(made)

    assert first({"a": 1, "b": 0, "c": 0}) == ["b"]
    assert first({"a": 0, "b": 0, "c": 0}) == ["a", "b"]
