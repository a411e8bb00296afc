from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count
from random import Random
from typing import Any

import pytest
from unit.routing.builders import chances, deployment, failure, fall_silent, groups, ids

from pointsman.errors import (
    GatewayError,
    Inexpressible,
    InvalidRequest,
    Overloaded,
    RateLimited,
    UpstreamBroken,
    UpstreamUnreachable,
)
from pointsman.routing.candidates import Facts
from pointsman.routing.failures import FINAL, kind_of
from pointsman.routing.groups import Groups
from pointsman.routing.members import Member
from pointsman.routing.plan import LONGEST_OBEYED, Choice, Plan, Wish
from pointsman.routing.settings import Alias
from pointsman.routing.settings import FailureKind as Kind
from pointsman.wire.needs import Needs
from pointsman.wire.secret import Secret
from pointsman.wire.wishes import Fallback

NOW = 1000.0
BAD = Kind.INTERNAL
AGAIN = (Kind.INTERNAL, Kind.UNAVAILABLE, Kind.TIMEOUT, Kind.BAD_GATEWAY)
"""Kinds that rest nothing at the first time."""


class Playbook:
    """One request whose attempts fail as it is scripted. Time goes on with pauses and with what an attempt ``took``."""

    def __init__(
        self,
        known: Groups,
        model: str = "m",
        *,
        now: float = NOW,
        seconds: float = 6000.0,
        chance: Callable[[], float] | None = None,
        **fields: Any,
    ) -> None:
        self.now = now
        self.plan = Plan(
            known, known.match(model), model, chance=chance or chances(0.0), deadline=now + seconds, **fields
        )
        self.choice: Choice | None = None

    def ask(self) -> str:
        self.choice = self.plan.first(self.now)
        return self._begin(self.choice)

    def fail(self, what: Kind | GatewayError, took: float = 0.0) -> str | None:
        assert self.choice is not None
        error = what if isinstance(what, GatewayError) else failure(what)
        one, began = self.choice.member, self.now
        self.now += took
        one.fail(kind_of(error), began, self.now, 0.5, error.retry_after)
        self.choice = self.plan.after(one, error, self.now)
        return None if self.choice is None else self._begin(self.choice)

    def run(self, *script: Kind | GatewayError) -> str:
        """Those that were asked until the script or the plan was at its end."""
        asked = [self.ask()]
        for what in script:
            following = self.fail(what)
            if following is None:
                break
            asked.append(following)
        return " ".join(asked)

    def _begin(self, choice: Choice) -> str:
        self.now += choice.pause
        choice.member.enter(self.now)
        return choice.member.deployment.id


def two(**settings: Any) -> Groups:
    return groups(deployment("a"), deployment("b"), **settings)


def alone(**settings: Any) -> Groups:
    """A group of one deployment, and another group."""
    return groups(deployment("a"), deployment("x", "other"), **settings)


def rest(known: Groups, *idents: str, now: float = NOW) -> None:
    """Send these to rest."""
    for ident in idents:
        known.members[ident].enter(now)
        known.members[ident].fail(Kind.NOT_FOUND, now, now, 0.5, None)


# Which deployment follows which failure


@pytest.mark.parametrize("kind", list(Kind))
def test_another_deployment_is_asked_at_once_unless_the_request_is_at_fault(kind: Kind) -> None:
    book = Playbook(two())
    assert book.run(kind) == ("a" if kind in FINAL else "a b")
    assert book.now == NOW


@pytest.mark.parametrize("kind", list(Kind))
def test_the_only_one_is_asked_again_after_a_pause_where_that_may_help(kind: Kind) -> None:
    book = Playbook(groups(deployment("a")))
    may_help = kind in (*AGAIN, Kind.RATE_LIMIT)
    assert book.run(kind) == ("a a" if may_help else "a")
    assert (book.now > NOW) is may_help


@pytest.mark.parametrize("kind", list(Kind))
def test_a_fallback_follows_when_the_group_cannot_help(kind: Kind) -> None:
    book = Playbook(alone(fallbacks={"m": ("other",)}))
    assert book.run(*[kind] * (3 if kind in AGAIN else 1)) == ("a a a x" if kind in AGAIN else "a x")
    assert (book.plan.retries, book.plan.fallbacks) == (2 if kind in AGAIN else 0, 1)


def test_two_retries_are_made_by_default() -> None:
    book = Playbook(groups(*(deployment(ident) for ident in "abcd")))
    assert book.run(BAD, BAD, BAD, BAD) == "a b c"
    assert (book.plan.retries, book.plan.max_retries, book.plan.fallbacks) == (2, 2, 0)


def test_those_that_were_tried_are_tried_again_when_all_were() -> None:
    assert Playbook(two()).run(BAD, BAD, BAD) == "a b a"


def test_lower_orders_are_asked_before_higher_ones_but_nobody_twice_before_all() -> None:
    known = groups(deployment("late", order=2), deployment("a"), deployment("b"), num_retries=3)
    assert Playbook(known).run(BAD, BAD, BAD, BAD) == "a b late a"


def test_after_a_failure_one_that_is_likely_to_answer_goes_first() -> None:
    known = groups(deployment("a"), deployment("b"), deployment("late", order=2))
    Playbook(known).run(BAD)
    known.members["b"].enter(NOW)
    known.members["b"].fail(BAD, NOW, NOW, 0.5, None)
    assert Playbook(known).run(BAD, BAD) == "a late b"


@pytest.mark.parametrize(
    ("settings", "kind", "asked"),
    [
        ({"num_retries": 0}, BAD, "a"),
        ({"num_retries": 1}, BAD, "a b"),
        ({"retry_policy": {BAD: 0}}, BAD, "a"),
        ({"retry_policy": {BAD: 3}}, BAD, "a b a a"),
        ({"retry_policy": {Kind.BAD_REQUEST: 1}}, Kind.BAD_REQUEST, "a b"),
        ({"retry_policy": {Kind.TIMEOUT: 0}}, BAD, "a b a"),
        ({"retry_policy": {BAD: 0}, "group_retry_policies": {"m": {BAD: 1}}}, BAD, "a b"),
        ({"retry_policy": {BAD: 0}, "group_retry_policies": {"m": {}}}, BAD, "a b a"),
    ],
)
def test_retries_are_as_configured_for_their_kind(settings: dict[str, Any], kind: Kind, asked: str) -> None:
    assert Playbook(two(**settings)).run(*[kind] * 6) == asked


def test_the_number_of_retries_may_change_with_the_kind_of_the_last_failure() -> None:
    known = two(retry_policy={Kind.TIMEOUT: 1, BAD: 3})
    assert Playbook(known).run(BAD, Kind.TIMEOUT, BAD) == "a b"


@pytest.mark.parametrize(("wished", "asked"), [(0, "a"), (1, "a b"), (4, "a b a a a")])
def test_a_caller_may_wish_for_other_retries(wished: int, asked: str) -> None:
    book = Playbook(two(retry_share=1.0, retry_policy={BAD: 2}), wish=Wish(num_retries=wished))
    for _ in range(20):
        book.plan.first(NOW)
    assert book.run(*[BAD] * 9) == asked
    assert book.plan.max_retries == wished


def test_but_not_of_what_was_refused_for_good() -> None:
    assert Playbook(two(), wish=Wish(num_retries=5)).run(Kind.BAD_REQUEST) == "a"


@pytest.mark.parametrize("error", [InvalidRequest(), RateLimited()])
def test_what_is_not_the_upstreams_failure_is_final(error: GatewayError) -> None:
    book = Playbook(two(fallbacks={"m": ("m",)}))
    book.ask()
    assert book.choice is not None
    assert book.plan.after(book.choice.member, error, NOW) is None


@pytest.mark.parametrize("error", [failure(Kind.TIMEOUT), UpstreamBroken()])
def test_what_must_not_happen_twice_is_not_asked_twice_when_it_may_have_happened(error: GatewayError) -> None:
    assert Playbook(two(fallbacks={"m": ("m",)}), is_repeatable=False).run(error) == "a"


@pytest.mark.parametrize("error", [UpstreamUnreachable(), failure(Kind.RATE_LIMIT), failure(Kind.UNAVAILABLE)])
def test_but_is_when_it_cannot_have_happened(error: GatewayError) -> None:
    assert Playbook(two(), is_repeatable=False).run(error) == "a b"


def test_a_deployment_whose_queue_is_full_is_left_for_another_and_not_asked_again() -> None:
    known = groups(deployment("a", max_parallel_requests=1), deployment("b", max_parallel_requests=1))
    first = Plan(known, known.match("m"), "m", chance=chances(0.0), deadline=NOW + 60)
    a = first.first(NOW).member
    following = first.after(a, Overloaded(), NOW)
    assert following is not None
    assert (following.member.deployment.id, following.pause) == ("b", 0.0)
    assert first.after(following.member, Overloaded(), NOW) is None


# Pauses and deadlines


def test_pauses_before_the_same_one_grow_and_are_spread_by_chance() -> None:
    def pauses(at: float) -> list[float]:
        book, found = Playbook(groups(deployment("a"), num_retries=3), chance=chances(at)), []
        book.ask()
        for _ in range(3):
            before = book.now
            book.fail(BAD)
            found.append(book.now - before)
        return found

    assert pauses(0.0) == [0.25, 0.5, 1.0]
    assert pauses(1.0) == [0.5, 1.0, 2.0]


def test_an_operator_may_set_the_least_pause() -> None:
    book = Playbook(groups(deployment("a"), retry_after=3.0))
    book.run(BAD)
    assert book.now == NOW + 3


@pytest.mark.parametrize("kind", [Kind.RATE_LIMIT, Kind.UNAVAILABLE])
def test_an_upstream_that_says_how_long_is_obeyed(kind: Kind) -> None:
    book = Playbook(groups(deployment("a")))
    assert book.run(failure(kind, 20.0)) == "a a"
    assert book.now == NOW + 20


@pytest.mark.parametrize("kind", [Kind.RATE_LIMIT, Kind.UNAVAILABLE])
def test_but_not_for_long(kind: Kind) -> None:
    assert Playbook(groups(deployment("a"))).run(failure(kind, LONGEST_OBEYED)) == "a a"
    assert Playbook(groups(deployment("a"))).run(failure(kind, LONGEST_OBEYED + 1)) == "a"
    assert Playbook(two()).run(failure(kind, 3600.0)) == "a b"


def test_a_pause_that_would_last_beyond_the_deadline_is_not_made_but_a_fallback_is() -> None:
    assert Playbook(groups(deployment("a")), seconds=30.1).run(failure(Kind.UNAVAILABLE, 30.0)) == "a a"
    assert Playbook(groups(deployment("a")), seconds=30).run(failure(Kind.UNAVAILABLE, 30.0)) == "a"
    book = Playbook(alone(fallbacks={"m": ("other",)}), seconds=30)
    assert book.run(failure(Kind.UNAVAILABLE, 30.0)) == "a x"
    assert book.now == NOW


def test_after_the_deadline_nothing_follows() -> None:
    def following(took: float) -> str | None:
        book = Playbook(alone(fallbacks={"m": ("other",)}, num_retries=0), seconds=10)
        book.ask()
        return book.fail(BAD, took=took)

    assert [following(took) for took in (9.9, 10.0, 11.0)] == ["x", None, None]


# Fallbacks


def chain_of(*names: str, **settings: Any) -> Groups:
    """Groups of one deployment each, called as they are; nothing is retried."""
    return groups(*(deployment(name, name) for name in names), **{"num_retries": 0, **settings})


def test_fallbacks_are_gone_through_in_order() -> None:
    known = chain_of("m", "n", "o", fallbacks={"m": ("n", "o")})
    assert Playbook(known).run(BAD, BAD, BAD) == "m n o"


def test_a_fallback_may_fall_back_itself_before_the_next_one_is_tried() -> None:
    known = chain_of("m", "n", "o", "p", fallbacks={"m": ("n", "o"), "n": ("p",)})
    assert Playbook(known).run(BAD, BAD, BAD, BAD) == "m n p o"


@pytest.mark.parametrize(("depth", "asked"), [(0, "m"), (1, "m n"), (2, "m n o"), (5, "m n o p")])
def test_so_often_at_most(depth: int, asked: str) -> None:
    known = chain_of("m", "n", "o", "p", fallbacks={"m": ("n",), "n": ("o",), "o": ("p",)}, max_fallbacks=depth)
    assert Playbook(known).run(*[BAD] * 9) == asked


def test_fallbacks_in_a_circle_come_to_an_end() -> None:
    known = chain_of("m", "n", "o", fallbacks={"m": ("m", "n"), "n": ("o", "m"), "o": ("n", "m")})
    assert Playbook(known).run(*[BAD] * 9) == "m n o"


def test_a_request_goes_through_32_groups_at_most() -> None:
    names = ["m", *(f"n{i}" for i in range(40))]
    assert Playbook(chain_of(*names, fallbacks={"m": tuple(names)})).run(*[BAD] * 50).split() == names[:32]


def test_a_fallback_that_is_not_served_is_passed_over() -> None:
    known = chain_of("m", "n", fallbacks={"m": ("gone", "n")})
    assert Playbook(known).run(BAD) == "m n"


def test_a_fallback_may_be_an_alias_or_fit_a_pattern() -> None:
    known = groups(
        deployment("a"),
        deployment("b", "big"),
        deployment("w", "openai/*", upstream_model="*"),
        num_retries=0,
        aliases={"large": Alias(model="big")},
        fallbacks={"m": ("large", "openai/gpt-5", "openai/gpt-4o")},
    )
    book = Playbook(known)
    seen = [book.ask()]
    captured = []
    while (following := book.fail(BAD)) is not None:
        seen.append(following)
        assert book.choice is not None
        captured.append((book.choice.public_model, book.choice.match.captured))
    assert seen == ["a", "b", "w", "w"]
    assert captured == [("large", None), ("openai/gpt-5", "gpt-5"), ("openai/gpt-4o", "gpt-4o")]


def test_default_fallbacks_serve_groups_without_any() -> None:
    known = chain_of("m", "n", "z", fallbacks={"n": ("m",)}, default_fallbacks=("z",))
    assert Playbook(known).run(BAD, BAD) == "m z"
    assert Playbook(chain_of("m", "z", fallbacks={"*": ("z",)})).run(BAD, BAD) == "m z"


@pytest.mark.parametrize(
    ("kind", "asked"),
    [
        (Kind.CONTEXT_WINDOW, "m long n"),
        (Kind.CONTENT_POLICY, "m lax n"),
        (Kind.BAD_REQUEST, "m n"),
        (BAD, "m n"),
    ],
)
def test_fallbacks_for_the_kind_of_failure_go_before_the_others(kind: Kind, asked: str) -> None:
    known = chain_of(
        "m",
        "n",
        "long",
        "lax",
        fallbacks={"m": ("n",)},
        context_window_fallbacks={"m": ("long",)},
        content_policy_fallbacks={"m": ("lax",)},
    )
    assert Playbook(known).run(*[kind] * 5) == asked


def test_a_fallback_has_retries_and_a_budget_of_its_own() -> None:
    known = groups(deployment("a"), deployment("x", "n"), deployment("y", "n"), num_retries=1, fallbacks={"m": ("n",)})
    book = Playbook(known)
    assert book.run(*[BAD] * 9) == "a a x y"
    assert (book.plan.retries, book.plan.fallbacks) == (2, 1)


def test_a_caller_may_wish_for_other_fallbacks_with_other_fields() -> None:
    known = chain_of("m", "n", "o", "p", fallbacks={"m": ("n",), "o": ("p",)})
    wish = Wish(fallbacks=(Fallback("o", {}), Fallback("n", {})))
    assert Playbook(known, wish=wish).run(*[BAD] * 9) == "m o n"


def test_the_fields_of_a_fallback_hold_for_it_only() -> None:
    known = chain_of("m", "n", "o")
    overrides: Any = {"temperature": 0}
    book = Playbook(known, wish=Wish(fallbacks=(Fallback("n", overrides), Fallback("o"))))
    seen = []
    book.ask()
    while book.choice is not None:
        seen.append(book.choice.overrides)
        book.fail(BAD)
    assert seen == [{}, overrides, {}]


def test_a_caller_may_wish_for_none() -> None:
    known = chain_of("m", "n", fallbacks={"m": ("n",)})
    assert Playbook(known, wish=Wish(is_without_fallbacks=True)).run(BAD) == "m"
    assert Playbook(known, wish=Wish(fallbacks=())).run(BAD) == "m"


@pytest.mark.parametrize("kind", [Kind.CONTEXT_WINDOW, Kind.CONTENT_POLICY])
def test_a_caller_may_wish_for_fallbacks_of_a_kind(kind: Kind) -> None:
    known = chain_of("m", "n", "o", context_window_fallbacks={"m": ("n",)}, content_policy_fallbacks={"m": ("n",)})
    special = (Fallback("o"),)
    book = Playbook(known, wish=Wish(context_window_fallbacks=special, content_policy_fallbacks=special))
    assert book.run(kind, kind) == "m o"


# Deployments at rest


def test_one_that_rests_is_not_asked() -> None:
    known = two()
    rest(known, "a")
    book = Playbook(known)
    assert book.run(BAD) == "b b"
    assert book.plan.dropped == {"a": "resting"}


def test_a_key_that_is_refused_takes_all_its_deployments_out() -> None:
    key: dict[str, Any] = {"base_url": "https://x", "credential": Secret("k")}
    known = groups(deployment("a", **key), deployment("b", **key), deployment("c"), deployment("d", "n", **key))
    assert Playbook(known).run(Kind.AUTHENTICATION) == "a c"
    assert [known.members[ident].is_resting for ident in "abcd"] == [True, True, False, True]
    assert Playbook(known).run(BAD) == "c c"


def test_a_group_at_rest_is_passed_over_for_its_fallback() -> None:
    known = alone(fallbacks={"m": ("other",)})
    rest(known, "a")
    book = Playbook(known)
    assert book.ask() == "x"
    assert book.plan.fallbacks == 1


def test_and_that_one_for_its_own() -> None:
    known = chain_of("m", "n", "o", fallbacks={"m": ("n",), "n": ("o",)})
    rest(known, "m", "n")
    assert Playbook(known).ask() == "o"
    busy = chain_of("m", "n", "o", fallbacks={"m": ("n",), "n": ("o",)})
    rest(busy, "n")
    assert Playbook(busy).run(BAD) == "m o"


@pytest.mark.requirement("routing.panic")
def test_when_all_rest_the_first_group_is_called_all_the_same() -> None:
    known = chain_of("m", "n", fallbacks={"m": ("n",)})
    rest(known, "m", "n")
    book = Playbook(known)
    assert book.ask() == "m"
    assert book.choice is not None
    assert (book.choice.public_model, book.choice.match.group.name, book.plan.fallbacks) == ("m", "m", 0)


def test_a_group_at_rest_is_not_one_whose_prompts_are_too_long() -> None:
    known = chain_of("m", "n", context_window_fallbacks={"m": ("n",)})
    rest(known, "m")
    assert Playbook(known).ask() == "m"


def test_requests_that_come_as_fallbacks_count_for_the_budget() -> None:
    known = chain_of("m", "n", fallbacks={"m": ("n",)})
    rest(known, "m")
    for _ in range(100):
        assert Playbook(known).ask() == "n"
    budget = known.match("n").group.budget
    for _ in range(20):
        assert budget.is_open(NOW)
        budget.spend(NOW)
    assert not budget.is_open(NOW)


def test_a_fallback_at_rest_is_not_called_instead_of_the_group_that_failed() -> None:
    known = alone(fallbacks={"m": ("other",)}, num_retries=1)
    rest(known, "x")
    book = Playbook(known)
    assert book.run(Kind.RATE_LIMIT) == "a a"
    assert book.choice is not None
    assert (book.choice.public_model, book.plan.retries, book.plan.fallbacks) == ("m", 1, 0)


def test_when_all_rest_another_one_is_asked_before_the_same_again() -> None:
    known = two()
    rest(known, "a", "b")
    assert Playbook(known).run(BAD, BAD) == "a b a"


@pytest.mark.requirement("routing.probe")
def test_a_probe_is_one_request_at_a_time() -> None:
    known = two()
    rest(known, "a")
    asked = [Playbook(known, now=NOW + 5).ask() for _ in range(4)]
    assert asked == ["a", "b", "b", "b"]


# Who can take the request


@pytest.mark.parametrize(
    ("tags", "asked"), [(("paid",), "b b"), (("free",), "a a"), (("free", "paid"), "a b"), (("x",), "c c"), ((), "c c")]
)
def test_tags_choose_the_deployment_of_every_attempt(tags: tuple[str, ...], asked: str) -> None:
    known = groups(deployment("a", tags=("free",)), deployment("b", tags=("paid",)), deployment("c", tags=("default",)))
    assert Playbook(known, facts=Facts(tags=tags)).run(BAD) == asked


def test_tags_that_fit_nobody_are_the_callers_fault() -> None:
    known = two()
    with pytest.raises(InvalidRequest) as raised:
        Playbook(known, facts=Facts(tags=("x",))).ask()
    assert raised.value.param == "tags"
    assert "'m'" in raised.value.message


@pytest.mark.requirement("routing.regions")
def test_no_attempt_leaves_the_region() -> None:
    known = groups(
        deployment("a", region="eu-west-1"),
        deployment("b", region="us-east-1"),
        deployment("c", "other"),
        deployment("d", "other", region="europe-west1"),
        fallbacks={"m": ("other",)},
    )
    eu = Facts(regions=(("eu",),))
    book = Playbook(known, facts=eu)
    assert book.ask() == "a"
    assert book.choice is not None
    assert book.plan.beside(book.choice.member, NOW) is None
    assert set(Playbook(known, facts=eu).run(*[BAD] * 4).split()) == {"a", "d"}
    assert Playbook(known, facts=Facts(regions=(("europe-west1",),))).ask() == "d"


@pytest.mark.requirement("routing.regions")
def test_a_region_that_nobody_answers_in_is_told_with_those_that_there_are() -> None:
    known = groups(deployment("a", region="us-east-1", lacks=frozenset({"tools"})), deployment("b"))
    with pytest.raises(InvalidRequest, match="answers in eu; its regions are us-east-1") as raised:
        Playbook(known, facts=Facts(regions=(("eu",),), needs=Needs(tools=True))).ask()
    assert raised.value.param == "allowed_model_region"


def test_but_a_fallback_with_such_tags_is_taken() -> None:
    known = groups(deployment("a"), deployment("b", "n", tags=("x",)), default_fallbacks=("n",))
    assert Playbook(known, facts=Facts(tags=("x",))).ask() == "b"


def test_what_no_deployment_takes_is_the_callers_fault_too() -> None:
    known = groups(deployment("a", lacks=frozenset({"images"})))
    with pytest.raises(InvalidRequest, match="images"):
        Playbook(known, facts=Facts(needs=Needs(images=True))).ask()


def test_a_prompt_that_is_certainly_too_long_goes_where_long_prompts_go() -> None:
    known = groups(
        deployment("a", max_input_tokens=10),
        deployment("b", "long"),
        deployment("c", "n"),
        fallbacks={"m": ("n",)},
        context_window_fallbacks={"m": ("long",)},
    )
    facts = Facts(needs=Needs(tokens=11))
    assert Playbook(known, facts=facts).ask() == "b"
    assert Playbook(known, facts=Facts(needs=Needs(tokens=10))).ask() == "a"
    with pytest.raises(InvalidRequest) as raised:
        Playbook(known, facts=facts, wish=Wish(is_without_fallbacks=True)).ask()
    assert raised.value.code == "context_length_exceeded"


def test_rates_that_are_limits_send_the_rest_elsewhere_or_away() -> None:
    known = groups(deployment("a", rpm=1), deployment("b", rpm=1), deployment("c", "n"), enforces_rates=True)
    assert [Playbook(known).ask() for _ in range(2)] == ["a", "b"]
    with pytest.raises(RateLimited) as raised:
        Playbook(known).ask()
    assert raised.value.retry_after
    wish = Wish(fallbacks=(Fallback("n"),))
    assert Playbook(known, wish=wish).ask() == "c"


def test_rates_that_are_limits_hold_when_everybody_rests() -> None:
    known = groups(deployment("a", rpm=1), deployment("b"), enforces_rates=True)
    assert Playbook(known).run(Kind.NOT_FOUND) == "a b"
    rest(known, "b")
    assert [Playbook(known).ask() for _ in range(2)] == ["b", "b"]


@pytest.mark.requirement("batches.yields")
def test_what_has_time_leaves_others_a_part_of_rates_that_are_limits() -> None:
    known = groups(deployment("a", rpm=8), enforces_rates=True)
    wish = Wish(has_time=True)
    assert [Playbook(known, wish=wish).ask() for _ in range(6)] == ["a"] * 6
    with pytest.raises(RateLimited):
        Playbook(known, wish=wish).ask()
    assert [Playbook(known).ask() for _ in range(2)] == ["a", "a"]
    with pytest.raises(RateLimited):
        Playbook(known).ask()


@pytest.mark.requirement("batches.yields")
def test_what_has_time_waits_for_rates_and_goes_to_no_other_group_for_want_of_them() -> None:
    known = groups(deployment("a", rpm=8), deployment("c", "n"), enforces_rates=True, fallbacks={"m": ("n",)})
    wish = Wish(has_time=True)
    assert [Playbook(known, wish=wish).ask() for _ in range(6)] == ["a"] * 6
    with pytest.raises(RateLimited) as raised:
        Playbook(known, wish=wish).ask()
    assert raised.value.retry_after
    assert [Playbook(known).ask() for _ in range(3)] == ["a", "a", "c"]


def test_what_has_time_goes_to_no_other_group_because_all_are_busy() -> None:
    known = groups(deployment("a"), deployment("b"), deployment("c", "n"), fallbacks={"m": ("n",)}, num_retries=2)
    assert Playbook(known).run(*[Overloaded()] * 3) == "a b c"
    assert Playbook(known, wish=Wish(has_time=True)).run(*[Overloaded()] * 3) == "a b"
    assert Playbook(known, wish=Wish(has_time=True)).run(BAD, BAD, BAD) == "a b c"


def test_rates_that_are_shares_refuse_nobody() -> None:
    known = groups(deployment("a", rpm=1))
    assert [Playbook(known).ask() for _ in range(3)] == ["a", "a", "a"]


def test_a_deployment_at_its_limit_is_asked_when_all_are() -> None:
    known = groups(deployment("a", max_parallel_requests=1), deployment("b", max_parallel_requests=1))
    assert [Playbook(known).ask() for _ in range(3)] == ["a", "b", "a"]


# Second attempts beside the first


def beside(known: Groups) -> str | None:
    book = Playbook(known)
    book.ask()
    assert book.choice is not None
    choice = book.plan.beside(book.choice.member, NOW)
    return None if choice is None else choice.member.deployment.id


def test_a_hedge_goes_to_another_deployment_that_is_likely_to_answer() -> None:
    assert beside(two()) == "b"
    assert beside(groups(deployment("a"), deployment("b", order=2))) == "b"
    assert beside(groups(deployment("a"))) is None


def test_a_hedge_goes_to_none_that_has_failed_or_rests() -> None:
    failed, resting = two(), two()
    failed.members["b"].fail(BAD, NOW, NOW, 0.5, None)
    rest(resting, "b")
    assert beside(failed) is None
    assert beside(resting) is None


def test_a_hedge_goes_to_none_that_has_fallen_silent() -> None:
    known = two()
    fall_silent(known.members["b"], NOW)
    assert beside(known) is None


def test_a_hedge_goes_to_none_that_is_full() -> None:
    known = groups(deployment("a", max_parallel_requests=2), deployment("b", max_parallel_requests=1))
    known.members["b"].enter(NOW)
    assert beside(known) is None


def test_a_hedge_that_fails_as_well_leaves_the_retries_of_both() -> None:
    known = groups(*(deployment(ident) for ident in "abcd"))
    book = Playbook(known)
    book.ask()
    assert book.choice is not None
    first = book.choice.member
    second = book.plan.beside(first, NOW)
    assert second is not None
    following = book.plan.after(second.member, failure(BAD), NOW)
    assert following is not None
    assert following.member.deployment.id == "c"


# Many requests


class Storm:
    """Requests at an even rate to deployments that fail each in its own way. Counts what reaches the upstreams."""

    def __init__(self, known: Groups, fails: Callable[[str], Kind | None], *, seed: int = 1) -> None:
        self.attempts: Counter[str] = Counter()
        self.errors = 0
        self.latest = 0.0
        self._known, self._fails = known, fails
        self._chance = Random(seed).random
        self._order = count()
        self._events: list[tuple[float, int, Plan, Choice | None, float | None]] = []

    def run(self, requests: int, rate: float, seconds: float = 6000.0, took: float = 0.05) -> Storm:
        match = self._known.match("m")
        for i in range(requests):
            at = NOW + i / rate
            plan = Plan(self._known, match, "m", chance=self._chance, deadline=at + seconds)
            self._push(at, plan, None, None)
        while self._events:
            now, _, plan, choice, began = heappop(self._events)
            if choice is None:
                self._follow(plan, plan.first(now), now)
            elif began is None:
                assert now < plan.deadline
                choice.member.enter(now)
                self.attempts[choice.member.deployment.id] += 1
                self._push(now + took, plan, choice, now)
            else:
                self._end(plan, choice.member, began, now)
        return self

    def _push(self, at: float, plan: Plan, choice: Choice | None, began: float | None) -> None:
        heappush(self._events, (at, next(self._order), plan, choice, began))

    def _follow(self, plan: Plan, choice: Choice, now: float) -> None:
        self._push(now + choice.pause, plan, choice, None)

    def _end(self, plan: Plan, one: Member, began: float, now: float) -> None:
        assert one.in_flight > 0
        kind = self._fails(one.deployment.id)
        if kind is None:
            one.succeed(began, now, now - began, 1)
            return
        one.fail(kind, began, now, self._chance(), None)
        choice = plan.after(one, failure(kind), now)
        if choice is None:
            self.errors += 1
        else:
            self._follow(plan, choice, now)


@pytest.mark.requirement("routing.budget")
@pytest.mark.parametrize("kind", [Kind.INTERNAL, Kind.TIMEOUT, Kind.RATE_LIMIT])
@pytest.mark.parametrize("rate", [2.0, 500.0])
@pytest.mark.parametrize("settings", [{}, {"has_cooldowns": False}, {"num_retries": 8}], ids=str)
@pytest.mark.parametrize("names", ["a", "ab"])
def test_upstreams_that_are_all_down_see_hardly_more_than_their_usual_traffic(
    kind: Kind, rate: float, settings: dict[str, Any], names: str
) -> None:
    storm = Storm(groups(*map(deployment, names), **settings), lambda _: kind).run(1000, rate)
    assert storm.errors == 1000
    # Three tries in ten seconds are always allowed, however few the requests.
    always = 3 * (1000 / rate / 10 + 1)
    # Until the first failures are known, the deployments are taken to be well.
    unknown = 2 * rate * 0.05 + 2
    assert sum(storm.attempts.values()) <= max(1200, 1000 + always) + unknown


@pytest.mark.parametrize("kind", [Kind.INTERNAL, Kind.BAD_GATEWAY, Kind.TIMEOUT, Kind.RATE_LIMIT, Kind.NOT_FOUND])
@pytest.mark.parametrize("rate", [20.0, 500.0])
def test_no_caller_notices_that_one_of_two_is_down_and_it_is_left_alone(kind: Kind, rate: float) -> None:
    storm = Storm(two(), lambda ident: kind if ident == "a" else None).run(5000, rate)
    assert storm.errors == 0
    # The five that fail, those under way with them, and a probe now and then.
    assert storm.attempts["a"] <= 5 + rate * 0.05 + 0.01 * 5000


@pytest.mark.parametrize(("rate", "most"), [(20.0, 20), (1000.0, 200)])
@pytest.mark.requirement("routing.silence")
def test_one_that_falls_silent_gets_hardly_anything_before_its_first_deadline(rate: float, most: int) -> None:
    known, chance, asked = two(), Random(7).random, Counter[str]()
    match = known.match("m")
    for one in known.members.values():
        one.hear(0.05)
    for i in range(round(20 * rate)):
        now = NOW + i / rate
        one = Plan(known, match, "m", chance=chance, deadline=now + 600).first(now).member
        one.enter(now)
        asked[one.deployment.id] += 1
        if one is known.members["b"]:
            one.succeed(now, now, 0.05, 0)
    # What comes within four times its usual 0.05 s, and one now and then.
    assert 10 <= asked["a"] <= most
    known.members["a"].hear(20.0)
    assert ids(match.group.calm(now)) == ["a", "b"]


def test_no_caller_notices_that_two_of_three_are_down() -> None:
    known = groups(*map(deployment, "abc"))
    storm = Storm(known, lambda ident: None if ident == "c" else BAD).run(5000, 500.0)
    assert storm.errors == 0


def test_nor_that_the_other_one_of_two_fails_now_and_then() -> None:
    chance = Random(3)
    storm = Storm(two(), lambda ident: BAD if ident == "a" or chance.random() < 0.02 else None).run(5000, 500.0)
    assert storm.errors <= 2


def test_a_tenth_of_failures_at_random_rests_nobody_and_reaches_nobody() -> None:
    chance = Random(5)
    known = two()
    storm = Storm(known, lambda _: BAD if chance.random() < 0.1 else None).run(5000, 100.0)
    assert storm.errors <= 10
    assert 2200 <= storm.attempts["a"] <= 3300


@pytest.mark.parametrize("seed", range(40))
def test_whatever_fails_a_plan_ends_within_its_bounds(seed: int) -> None:
    chance = Random(seed)
    names = [f"g{i}" for i in range(chance.randrange(1, 8))]
    known = groups(
        *(
            deployment(
                f"{name}-{i}",
                name,
                order=chance.randrange(1, 3),
                max_parallel_requests=chance.choice((None, 1)),
                rpm=chance.choice((None, 3)),
            )
            for name in names
            for i in range(chance.randrange(1, 4))
        ),
        num_retries=chance.randrange(4),
        retry_share=chance.choice((0.0, 0.2, 1.0)),
        enforces_rates=chance.random() < 0.3,
        fallbacks={name: tuple(chance.choices([*names, "gone"], k=3)) for name in names},
        context_window_fallbacks={name: tuple(chance.choices(names, k=2)) for name in names},
        max_fallbacks=chance.randrange(6),
    )
    now = NOW
    for _ in range(30):
        now += chance.random() * 10
        seconds = chance.choice((1.0, 30.0, 6000.0))
        book = Playbook(known, names[0], now=now, seconds=seconds, chance=chance.random)
        try:
            book.ask()
        except RateLimited:
            continue
        attempts = 1
        while book.choice is not None:
            assert book.now < now + seconds
            kinds = (*Kind, Kind.INTERNAL, Kind.CONTEXT_WINDOW)
            book.fail(failure(chance.choice(kinds), chance.choice((None, 0.0, 5.0, 90.0))), took=chance.random())
            attempts += 1
        assert attempts <= (known.match(names[0]).group.num_retries + 1) * len(names) + 1
        now = book.now
    assert all(one.in_flight == 0 for one in known.members.values())


def test_what_one_has_no_words_for_is_put_to_each_of_the_others_and_nobody_rests() -> None:
    known = two()
    book = Playbook(known)
    first = book.ask()
    second = book.plan.after(known.members[first], Inexpressible(param="n"), NOW)
    assert second is not None
    assert second.member.deployment.id != first
    assert second.pause == 0
    assert book.plan.after(second.member, Inexpressible(param="n"), NOW) is None
    assert (book.plan.retries, known.members[first].is_sound) == (0, True)


def test_a_fallback_may_have_the_words_that_a_group_lacks() -> None:
    known = groups(deployment("a", "m"), deployment("b", "other"), fallbacks={"m": ("other",)})
    book = Playbook(known)
    book.ask()
    choice = book.plan.after(known.members["a"], Inexpressible(param="n"), NOW)
    assert choice is not None
    assert (choice.public_model, book.plan.fallbacks) == ("other", 1)


def test_the_only_one_with_the_words_is_called_even_where_it_rests() -> None:
    known = two()
    rest(known, "b")
    book = Playbook(known)
    assert book.ask() == "a"
    choice = book.plan.after(known.members["a"], Inexpressible(param="n"), NOW)
    assert choice is not None
    assert choice.member.deployment.id == "b"
