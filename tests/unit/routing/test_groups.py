from __future__ import annotations

from typing import Any

import pytest
from unit.routing.builders import OPENAI, deployment, fall_silent, groups, ids

from pointsman.errors import InvalidRequest, ModelNotFound
from pointsman.providers.base import Deployment, Vendor
from pointsman.routing.failures import FINAL
from pointsman.routing.groups import Group, Groups
from pointsman.routing.settings import Alias, Hedging, RoutedSettings, RoutingSettings
from pointsman.routing.settings import FailureKind as Kind
from pointsman.routing.strategies.least_busy import least_busy
from pointsman.routing.strategies.shuffle import shuffle
from pointsman.wire.operations import IMAGE_GENERATION, MODERATION
from pointsman.wire.secret import Secret

NOW = 1000.0


def named(*names: str, **settings: Any) -> Groups:
    """Groups of one deployment each."""
    return groups(*(deployment(f"id-{name}", name) for name in names), **settings)


def group(*deployments: dict[str, Any], **settings: Any) -> Group:
    """The group ``m`` of deployments ``a``, ``b`` and so on."""
    known = groups(*(deployment(chr(97 + i), **fields) for i, fields in enumerate(deployments)), **settings)
    return known.match("m").group


@pytest.mark.parametrize(
    ("model", "group", "captured"),
    [
        ("gpt-4o", "gpt-4o", None),
        ("openai/gpt-5", "openai/*", "gpt-5"),
        ("openai/o3/mini", "openai/*", "o3/mini"),
        ("openai/o3-x-fast", "openai/o3-*-fast", "x"),
        ("bedrock/us.claude", "bedrock/us.*", "claude"),
        ("bedrock/eu.claude", "bedrock/*", "eu.claude"),
        ("whatever", "*", "whatever"),
        ("fast", "gpt-4o", None),
        ("id-gpt-4o", "gpt-4o", None),
    ],
)
def test_the_most_specific_name_or_pattern_answers(model: str, group: str, captured: str | None) -> None:
    known = named(
        "*",
        "openai/*",
        "gpt-4o",
        "openai/o3-*-fast",
        "bedrock/*",
        "bedrock/us.*",
        aliases={"fast": Alias(model="gpt-4o")},
    )
    match = known.match(model)
    assert (match.group.name, match.captured) == (group, captured)
    again = known.match(model)
    assert (again.group, again.captured) == (match.group, match.captured)


@pytest.mark.parametrize("model", ["gpt-5", "openai/", "openai/*", "id-openai/*", ""])
def test_what_nothing_answers_to_is_not_found(model: str) -> None:
    with pytest.raises(ModelNotFound) as raised:
        named("gpt-4o", "openai/*").match(model)
    assert raised.value.param == "model"


def test_hidden_aliases_are_not_listed_but_answer() -> None:
    known = named("gpt-4o", aliases={"a": Alias(model="gpt-4o"), "b": Alias(model="gpt-4o", is_hidden=True)})
    assert known.names == ["gpt-4o", "a"]
    assert known.match("b").group.name == "gpt-4o"


def test_a_request_without_a_model_goes_to_the_first_group_of_its_mode() -> None:
    known = groups(deployment("a", "x", mode="chat"), deployment("b", "y", mode="image_generation"))
    assert known.for_operation(IMAGE_GENERATION).group.name == "y"
    with pytest.raises(InvalidRequest):
        known.for_operation(MODERATION)


def test_an_alias_may_lead_to_a_model_that_a_pattern_serves_or_nowhere() -> None:
    known = named("openai/*", aliases={"fast": Alias(model="openai/gpt-4o-mini"), "lost": Alias(model="gone")})
    match = known.match("fast")
    assert (match.group.name, match.captured) == ("openai/*", "gpt-4o-mini")
    with pytest.raises(ModelNotFound):
        known.match("lost")


def test_a_deployment_is_one_whether_it_is_found_by_name_or_by_id() -> None:
    known = groups(deployment("a"), deployment("b"))
    assert ids(known.match("b").group.members) == ["b"]
    assert known.match("b").group.members[0] is known.match("m").group.members[1] is known.members["b"]
    assert [one.name for one in known] == ["m"]


def test_while_all_are_well_the_first_order_is_drawn_from() -> None:
    assert ids(group({"order": 2}, {"order": 1}, {"order": 1}).calm(NOW)) == ["b", "c"]


@pytest.mark.parametrize("fields", [{"rpm": 5}, {"tpm": 5}, {"max_parallel_requests": 5}])
def test_where_something_limits_a_deployment_a_further_look_is_needed(fields: dict[str, Any]) -> None:
    assert group({}, fields).calm(NOW) == ()


@pytest.mark.parametrize("settings", [{"max_parallel_requests": 9}, {"is_adaptive": True}])
def test_and_so_where_all_have_a_limit(settings: dict[str, Any]) -> None:
    assert group({}, {}, **settings).calm(NOW) == ()


def test_and_where_one_has_failed() -> None:
    one = group({}, {"order": 2})
    first, last = one.members
    for member, expected in ((last, ["a"]), (first, [])):
        member.enter(NOW)
        member.fail(Kind.INTERNAL, NOW, NOW, 0.5, None)
        assert ids(one.calm(NOW)) == expected
    first.enter(NOW)
    first.succeed(NOW, NOW, None, 0)
    assert ids(one.calm(NOW)) == ["a"]


def test_and_where_one_of_the_first_order_has_fallen_silent() -> None:
    one = group({}, {}, {"order": 2})
    first, _, last = one.members
    for member, expected in ((last, ["a", "b"]), (first, [])):
        fall_silent(member, NOW)
        assert ids(one.calm(NOW)) == expected
    first.hear(0.1)
    assert ids(one.calm(NOW)) == ["a", "b"]


def test_a_failure_is_retried_twice_by_default_unless_another_try_cannot_help() -> None:
    one = group({})
    assert {kind: one.retries_after(kind) for kind in Kind} == {kind: 0 if kind in FINAL else 2 for kind in Kind}


@pytest.mark.parametrize(
    ("fields", "settings", "retries"),
    [
        ({}, {"num_retries": 5}, 5),
        ({}, {"num_retries": 5, "default_retries": {"": 1}}, 1),
        ({}, {"num_retries": 5, "default_retries": {"": 1, "m": 3}}, 3),
        ({}, {"num_retries": 5, "default_retries": {"other": 3}}, 5),
        ({"num_retries": 4}, {"num_retries": 5, "default_retries": {"m": 3}}, 4),
        ({"num_retries": 0}, {"num_retries": 5}, 0),
    ],
)
def test_the_nearest_number_of_retries_counts(fields: dict[str, Any], settings: dict[str, Any], retries: int) -> None:
    one = group(fields, **settings)
    assert (one.num_retries, one.retries_after(Kind.INTERNAL)) == (retries, retries)


def test_of_several_deployments_the_one_that_wants_most_retries_counts() -> None:
    assert group({"num_retries": 1}, {"num_retries": 4}, {}).num_retries == 4


@pytest.mark.parametrize("kind", list(Kind))
def test_a_retry_policy_goes_before_the_number_of_retries(kind: Kind) -> None:
    one = group({}, retry_policy={kind: 7})
    assert one.retries_after(kind) == 7
    assert one.num_retries == 2


def test_a_groups_own_retry_policy_takes_the_place_of_the_general_one() -> None:
    general = {Kind.INTERNAL: 7, Kind.TIMEOUT: 7}
    one = group({}, retry_policy=general, group_retry_policies={"m": {Kind.INTERNAL: 1}})
    assert [one.retries_after(kind) for kind in (Kind.INTERNAL, Kind.TIMEOUT)] == [1, 2]
    other = group({}, retry_policy=general, group_retry_policies={"x": {Kind.INTERNAL: 1}})
    assert other.retries_after(Kind.INTERNAL) == 7


def test_a_group_may_have_a_strategy_of_its_own() -> None:
    settings = {"group_strategies": {"m": "least-busy"}}
    assert group({}, **settings).strategy is least_busy
    assert named("x", **settings).match("x").group.strategy is shuffle


@pytest.mark.parametrize(
    ("settings", "enforces"),
    [
        ({}, False),
        ({"enforces_rates": True}, True),
        ({"strategy": "usage-based-routing-v2"}, True),
        ({"group_strategies": {"m": "usage-based-routing"}}, True),
        ({"group_strategies": {"x": "usage-based-routing"}}, False),
    ],
)
def test_rates_are_limits_where_it_is_said_or_the_strategy_has_it_so(settings: dict[str, Any], enforces: bool) -> None:
    assert group({}, **settings).enforces_rates is enforces


def test_tokens_are_counted_where_the_strategy_needs_them() -> None:
    [one] = group({}, strategy="usage-based-routing").members
    one.enter(NOW)
    one.succeed(NOW, NOW, None, 12)
    assert one.tokens.total(NOW) == 12


def test_latencies_are_watched_where_the_strategy_needs_them() -> None:
    [one] = group({}, strategy="latency-based-routing").members
    one.enter(NOW)
    one.succeed(NOW, NOW, 0.5, 0)
    assert one.latency.value == 0.5


@pytest.mark.parametrize(
    ("hedging", "has"),
    [({}, False), ({"m": Hedging()}, True), ({"*": Hedging()}, True), ({"x": Hedging()}, False)],
)
def test_a_group_is_hedged_when_it_is_said_of_it_or_of_any(hedging: dict[str, Hedging], has: bool) -> None:
    assert (group({}, {}, hedging=hedging).hedges is not None) is has


def test_one_deployment_alone_cannot_be_hedged() -> None:
    assert group({}, hedging={"m": Hedging()}).hedges is None


@pytest.mark.parametrize(
    ("model", "found"),
    [
        ("a", ("1",)),
        ("openai/a", ("1",)),
        ("openai/b", ("2",)),
        ("c", ("any",)),
    ],
)
def test_fallbacks_are_found_by_name_then_without_the_provider_then_for_any(model: str, found: tuple[str, ...]) -> None:
    table = {"a": ("1",), "openai/b": ("2",), "b": ("3",), "*": ("any",)}
    known = named("x", fallbacks=table, context_window_fallbacks=table, content_policy_fallbacks=table)
    assert known.fallbacks(model, model) == found
    assert known.context_window_fallbacks(model, model) == found
    assert known.content_policy_fallbacks(model, model) == found


def test_fallbacks_of_the_name_that_was_asked_for_go_before_those_of_the_group() -> None:
    known = named("x", fallbacks={"alias": ("1",), "group": ("2",)})
    assert known.fallbacks("alias", "group") == ("1",)
    assert known.fallbacks("other", "group") == ("2",)


def test_default_fallbacks_serve_groups_that_have_none() -> None:
    known = named("x", fallbacks={"a": ("1",)}, default_fallbacks=("z",))
    assert known.fallbacks("a", "a") == ("1",)
    assert known.fallbacks("b", "b") == ("z",)
    assert known.context_window_fallbacks("b", "b") == ()


def test_deployments_with_the_same_key_at_the_same_address_share_a_credential() -> None:
    key: dict[str, Any] = {"credential": Secret("k"), "base_url": "https://x"}
    azure = Vendor(name="azure")
    known = groups(
        deployment("a", **key),
        deployment("b", "other", **key),
        deployment("c", **{**key, "credential": Secret("l")}),
        deployment("d", **{**key, "base_url": "https://y"}),
        deployment("e", **{**key, "vendor": azure}),
        deployment("f", base_url="https://x"),
        deployment("g", base_url="https://x"),
    )
    shared = {ident: one.credential for ident, one in known.members.items()}
    assert shared["a"] is shared["b"]
    assert len({id(one) for one in shared.values()}) == 6
    assert OPENAI.name != azure.name


@pytest.mark.parametrize(
    ("fields", "settings", "rest"),
    [({}, {}, 5.0), ({}, {"cooldown_time": 30.0}, 30.0), ({"cooldown_time": 7.0}, {"cooldown_time": 30.0}, 7.0)],
)
def test_the_nearest_cooldown_time_counts(fields: dict[str, Any], settings: dict[str, Any], rest: float) -> None:
    [one] = group(fields, **settings).members
    one.enter(NOW)
    assert one.fail(Kind.NOT_FOUND, NOW, NOW, 0.5, None)
    assert one.until == NOW + rest


@pytest.mark.parametrize(
    ("fields", "settings"), [({}, {"has_cooldowns": False}), ({}, {"cooldown_time": 0.0}), ({"cooldown_time": 0.0}, {})]
)
def test_cooldowns_can_be_turned_off(fields: dict[str, Any], settings: dict[str, Any]) -> None:
    [one] = group(fields, **settings).members
    one.enter(NOW)
    assert not one.fail(Kind.NOT_FOUND, NOW, NOW, 0.5, None)


def test_allowed_failures_hold_for_every_deployment() -> None:
    [one] = group({}, allowed_fails=1, allowed_fails_policy={Kind.TIMEOUT: 0}).members
    assert not one.fail(Kind.INTERNAL, NOW, NOW, 0.5, None)
    assert one.fail(Kind.TIMEOUT, NOW, NOW, 0.5, None)


@pytest.mark.parametrize(
    ("fields", "settings", "limit"),
    [
        ({}, {}, None),
        ({}, {"max_parallel_requests": 9}, 9),
        ({"max_parallel_requests": 4}, {"max_parallel_requests": 9}, 4),
    ],
)
def test_the_nearest_limit_counts(fields: dict[str, Any], settings: dict[str, Any], limit: int | None) -> None:
    [one] = group(fields, **settings).members
    assert one.limit == limit
    assert one.adaptive is None


def test_each_deployment_finds_an_adaptive_limit_of_its_own() -> None:
    a, b = group({}, {}, is_adaptive=True).members
    assert a.adaptive is not None
    assert a.adaptive is not b.adaptive


def test_of_those_that_share_a_key_the_one_that_wants_the_longest_rest_has_its_way() -> None:
    shared = {"credential": Secret("sk-of-both"), "base_url": "http://one.test"}
    one = group({**shared, "cooldown_time": 0}, {**shared, "cooldown_time": 60})
    first, second = one.members
    assert first.credential is second.credential
    first.enter(NOW)
    first.fail(Kind.RATE_LIMIT, NOW, NOW, 0.5, None)
    assert second.until == NOW + 60


def _routed(*names: str, **settings: Any) -> Groups:
    routed = {name: RoutedSettings(name=name) for name in ("auto", *names)}
    return groups(deployment("a", "m"), deployment("b", "any/*"), routed=routed, **settings)


def test_a_routed_model_is_a_group_without_deployments() -> None:
    found = _routed().match("auto")
    assert (found.group.name, found.group.is_routed, found.group.members) == ("auto", True, ())
    assert not _routed().match("m").group.is_routed
    assert "auto" in _routed().names


@pytest.mark.parametrize("name", ["auto:cheap", "auto:best", "auto:0.7", "smart:cheap", "router-mf-0.116"])
def test_a_knob_may_stand_behind_the_name_of_a_routed_model(name: str) -> None:
    made = _routed(aliases={"smart": Alias(model="auto")})
    assert made.match(name).group.name == "auto"


def test_the_knob_behind_an_alias_goes_before_the_one_that_the_alias_holds() -> None:
    made = _routed(aliases={"thrifty": Alias(model="auto:cheap"), "smart": Alias(model="auto")})
    for name, quality in (("thrifty", 0.5), ("thrifty:best", 1.0), ("smart:BEST", 1.0), ("thrifty:0.2", 0.2)):
        match = made.match(name)
        assert (match.group.name, match.knob and match.knob.quality) == ("auto", quality)


@pytest.mark.parametrize("name", ["auto:2", "auto:", "auto:good"])
def test_what_cannot_stand_behind_a_routed_model_is_said(name: str) -> None:
    with pytest.raises(ModelNotFound, match="what can stand behind 'auto' is cheap, best or 0 to 1"):
        _routed().match(name)


def test_an_alias_may_stand_for_a_knob() -> None:
    match = _routed(aliases={"thrifty": Alias(model="auto:cheap")}).match("thrifty")
    assert match.knob is not None
    assert (match.group.name, match.knob.quality) == ("auto", 0.5)
    assert _routed().match("auto").knob is None


@pytest.mark.parametrize("name", ["m:cheap", "nobody:0.7", "auto:much"])
def test_a_knob_behind_another_name_is_no_knob(name: str) -> None:
    with pytest.raises(ModelNotFound):
        _routed().match(name)


def test_routellms_names_find_the_routed_model_of_that_method() -> None:
    routed = {
        "auto": RoutedSettings(name="auto"),
        "mine": RoutedSettings(name="mine", strategy="mf"),
        "m": RoutedSettings(name="m", strategy="mf", is_within_group=True),
    }
    made = groups(deployment("a", "m"), routed=routed)
    assert made.match("router-mf-0.116").group.name == "mine"
    assert made.match("router-bert-0.5").group.name == "auto"


def test_a_name_that_is_configured_goes_before_a_knob() -> None:
    made = groups(deployment("a", "auto:cheap"), routed={"auto": RoutedSettings(name="auto")})
    assert not made.match("auto:cheap").group.is_routed


def test_a_group_that_is_routed_within_keeps_its_deployments_and_they_their_ids() -> None:
    made = _routed("m")
    assert made.match("m").group.is_routed
    assert len(made.match("m").group.members) == 1
    assert not made.match("a").group.is_routed


def after(before: Groups, *deployments: Deployment, **settings: Any) -> Groups:
    """The groups that follow."""
    return Groups(deployments, RoutingSettings(**settings), before)


def test_members_of_equal_deployments_are_carried_over() -> None:
    before = groups(deployment("a"), deployment("b", rpm=5))
    new = after(before, deployment("b", rpm=6), deployment("a"))
    assert new.members["a"] is before.members["a"]
    assert new.members["b"] is not before.members["b"]
    assert new.match("a").group.members == (before.members["a"],)


def test_a_new_deployment_shares_the_health_of_a_credential_that_was_there() -> None:
    shared: dict[str, Any] = {"base_url": "https://h", "credential": Secret("k")}
    before = groups(deployment("a", **shared))
    before.members["a"].credential.fail(Kind.AUTHENTICATION, NOW, NOW)
    new = after(before, deployment("b", **shared), deployment("c", credential=Secret("other")))
    assert new.members["b"].is_resting
    assert not new.members["c"].is_resting


def test_settings_take_effect_when_they_are_told_to() -> None:
    before = groups(deployment("a"), deployment("b", max_parallel_requests=3))
    one, other = before.members["a"], before.members["b"]
    new = after(before, one.deployment, other.deployment, max_parallel_requests=2, is_adaptive=True, cooldown_time=9.0)
    assert (one.limit, one.adaptive, one.health.rules.rest) == (None, None, 5.0)
    assert new.take_effect() == [one, other]
    assert (one.limit, one.is_limited, one.health.rules.rest, one.credential.rules.rest) == (2, True, 9.0, 9.0)
    adaptive = one.adaptive
    assert adaptive is not None
    assert new.take_effect() == []
    last = after(new, one.deployment, max_parallel_requests=4, is_adaptive=True, strategy="usage-based-routing")
    last.take_effect()
    assert one.adaptive is adaptive
    assert (one.limit, one.is_plain) == (4, False)
    after(last, one.deployment).take_effect()
    assert one.is_plain
    assert not one.is_limited


def test_what_a_group_has_seen_is_remembered_under_the_same_settings() -> None:
    pair = (deployment("a"), deployment("b"))
    before = groups(*pair, hedging={"m": Hedging()})
    same = after(before, *pair, hedging={"m": Hedging()}).match("m").group
    assert same.hedges is before.match("m").group.hedges
    assert same.budget is before.match("m").group.budget
    other = after(before, *pair, hedging={"m": Hedging(delay=1.0)}, retry_share=0.5).match("m").group
    assert other.hedges is not before.match("m").group.hedges
    assert other.budget is not before.match("m").group.budget


def test_a_group_has_the_generation_of_its_deployments() -> None:
    before = groups(deployment("a", "one"), deployment("b", "two"))
    new = after(before, deployment("a", "one"), deployment("b", "two", rpm=1), deployment("c", "three"))
    assert [group.generation for group in new] == [0, 1, 1]
    gone = after(new, deployment("a", "one"))
    again = after(gone, deployment("a", "one"), deployment("b", "two", rpm=1))
    assert [group.generation for group in again] == [0, 3]


def test_a_name_leads_to_what_answers_to_it_and_to_itself() -> None:
    known = named("gpt-4o", "openai/*", "openai/gpt-4o-*", aliases={"fast": Alias(model="gpt-4o")})
    led = [
        (model, name)
        for model in ("gpt-4o", "fast", "openai/x", "openai/gpt-4o-mini", "gone")
        for name in ("gpt-4o", "fast", "openai/*", "openai/gpt-4o-*", "gone")
        if known.leads_to(model, name)
    ]
    assert led == [
        ("gpt-4o", "gpt-4o"),
        ("fast", "gpt-4o"),
        ("fast", "fast"),
        ("openai/x", "openai/*"),
        ("openai/gpt-4o-mini", "openai/gpt-4o-*"),
        ("gone", "gone"),
    ]


AZURE = Vendor(name="azure", cloud="azure", base_url="https://ours.openai.azure.com")


def test_what_runs_batches_only_gets_no_requests_where_there_is_somebody_else() -> None:
    batches: dict[str, Any] = {"vendor": AZURE, "runs_batches": True}
    known = groups(
        deployment("a", **batches),
        deployment("b", vendor=AZURE),
        deployment("c", vendor=OPENAI, runs_batches=True),
        deployment("d", "alone", **batches),
    )
    assert ids(known.match("m").group.members) == ["b", "c"]
    assert ids(known.match("alone").group.members) == ["d"]
    assert ids(known.match("a").group.members) == ["a"]
    assert list(known.members) == ["a", "b", "c", "d"]
