from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pointsman.routing.settings import Alias, FailureKind, Hedging, RoutingSettings

if TYPE_CHECKING:
    from unit.config.conftest import Build

MODELS = """
model_list:
  - {model_name: chat, litellm_params: {model: demo/small}, model_info: {id: chat-1}}
  - {model_name: large, litellm_params: {model: demo/large}}
  - {model_name: eu/spare, litellm_params: {model: demo/small}}
  - {model_name: "demo/*", litellm_params: {model: "demo/*"}}
"""
DEMO = "model_list: [{model_name: m, litellm_params: {model: demo/small}}]\n"


def _routing(build: Build, text: str) -> RoutingSettings:
    """The settings of a document that nothing is said about."""
    built = build(MODELS + text)
    assert built.problems == (), built.all()
    return built.good.routing


def _router(build: Build, text: str) -> RoutingSettings:
    return _routing(build, f"router_settings: {{{text}}}\n")


def test_without_a_word_the_defaults_hold(build: Build) -> None:
    assert _routing(build, "") == RoutingSettings()
    assert _routing(build, "router_settings:\nlitellm_settings: {num_retries: null}\n") == RoutingSettings()


@pytest.mark.parametrize(
    "name",
    [
        "simple-shuffle",
        "least-busy",
        "latency-based-routing",
        "cost-based-routing",
        "usage-based-routing",
        "usage-based-routing-v2",
    ],
)
def test_a_strategy_keeps_its_name(build: Build, name: str) -> None:
    assert _router(build, f"routing_strategy: {name}").strategy == name


@pytest.mark.parametrize("name", ["provider-budget-routing", "lowest-tpm", "round-robin"])
def test_a_strategy_that_is_not_there_is_named_and_the_default_holds(build: Build, name: str) -> None:
    built = build(MODELS + f"router_settings: {{routing_strategy: {name}}}\n")
    assert built.good.routing.strategy == "simple-shuffle"
    assert [line.split(": ")[0] for line in built.said("notice")] == ["router_settings.routing_strategy"]
    assert "latency-based-routing" in built.all()


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("llmrouter-nn", "did you mean llmrouter-knn?"),
        ("llmrouter-zebra", "after llmrouter- comes one of auto"),
        ("leastbusy", "did you mean least-busy?"),
        ("llmroute-knn", "did you mean llmrouter-knn?"),
    ],
)
def test_a_misspelt_strategy_is_an_error(build: Build, name: str, hint: str) -> None:
    group = f"{{group_name: g, models: [chat], routing_strategy: {name}}}"
    built = build(MODELS + f"router_settings: {{routing_strategy: {name}, routing_groups: [{group}]}}\n")
    paths = ("router_settings.routing_groups[0].routing_strategy", "router_settings.routing_strategy")
    assert sorted(built.said("error")) == [f"{path}: names no strategy: {name!r}" for path in paths]
    assert built.all().count(hint) == 2


def test_nothing_falls_back_to_a_routed_model(build: Build) -> None:
    auto = "  - {model_name: auto, litellm_params: {model: router/auto}}\n"
    alias = 'model_group_alias: {thrifty: "auto:cheap"}'
    settings = f"{{default_fallbacks: [auto], fallbacks: [{{chat: ['auto:cheap', large]}}], {alias}}}"
    built = build(f"{MODELS}{auto}router_settings: {settings}\n")
    what = "names a routed model, which nothing goes on with"
    assert built.said("warning") == [
        f"router_settings.default_fallbacks: {what}",
        f"router_settings.fallbacks[0].chat[0]: {what}",
    ]


def test_groups_may_have_strategies_of_their_own(build: Build) -> None:
    text = """
router_settings:
  routing_groups:
    - {group_name: quick, models: [chat, demo/*], routing_strategy: latency-based-routing}
    - {group_name: cheap, models: [large], routing_strategy: cost-based-routing}
"""
    assert _routing(build, text).group_strategies == {
        "chat": "latency-based-routing",
        "demo/*": "latency-based-routing",
        "large": "cost-based-routing",
    }


def test_what_cannot_hold_of_a_routing_group_is_said(build: Build) -> None:
    text = """
router_settings:
  routing_groups:
    - {group_name: a, models: [chat, lrage], routing_strategy: least-busy, routing_strategy_args: {ttl: 1}}
    - {group_name: b, models: [chat], routing_strategy: cost-based-routing}
    - {group_name: c, models: [large], routing_strategy: priority}
"""
    built = build(MODELS + text)
    assert built.good.routing.group_strategies == {"chat": "least-busy", "lrage": "least-busy"}
    assert built.said("warning") == [
        "router_settings.routing_groups[0].models: names a model that is not served",
        "router_settings.routing_groups[1].models: has a model of an earlier entry, which counts",
    ]
    assert built.said("notice") == [
        "router_settings.routing_groups[0].routing_strategy_args: is known but not acted on by this version",
        "router_settings.routing_groups[2].routing_strategy: is not acted on by this version",
    ]
    assert "did you mean large?" in built.all()


@pytest.mark.parametrize("entry", ["3", "null", "{models: [chat]}", "{routing_strategy: least-busy}", "{models: {}}"])
def test_a_routing_group_of_another_shape_is_an_error(build: Build, entry: str) -> None:
    assert build(MODELS + f"router_settings: {{routing_groups: [{entry}]}}\n").snapshot is None


def test_tags_checks_and_limits_are_filled(build: Build) -> None:
    routing = _router(
        build,
        "enable_tag_filtering: true, tag_filtering_match_any: false, enable_pre_call_checks: true, "
        "optional_pre_call_checks: [enforce_model_rate_limits], default_max_parallel_requests: 7",
    )
    assert routing.has_tag_filtering
    assert not routing.tags_match_any
    assert routing.has_pre_call_checks
    assert routing.enforces_rates
    assert routing.max_parallel_requests == 7


def test_the_pre_call_check_has_two_spellings(build: Build) -> None:
    assert _router(build, "enable_pre_call_check: true").has_pre_call_checks
    assert not _router(build, "enable_pre_call_check: true, enable_pre_call_checks: false").has_pre_call_checks


def test_optional_checks_that_are_not_there_are_named(build: Build) -> None:
    built = build(MODELS + "router_settings: {optional_pre_call_checks: [prompt_caching, router_budget_limiting]}\n")
    assert not built.good.routing.enforces_rates
    assert (
        "optional_pre_call_checks: asks for something that this version does not act on (2" in built.said("notice")[0]
    )


@pytest.mark.requirement("config.reliability")
def test_retries_are_filled(build: Build) -> None:
    routing = _routing(
        build,
        """
router_settings:
  num_retries: 4
  retry_after: 0.5
  retry_policy: {BadRequestErrorRetries: 0, RateLimitErrorRetries: "3", BadGatewayErrorRetries: 2, DefaultRetries: 1}
  model_group_retry_policy:
    chat: {TimeoutErrorRetries: 5}
    large: {DefaultRetries: 0}
pointsman_settings: {retry_budget_percent: 50}
""",
    )
    assert routing.num_retries == 4
    assert routing.retry_after == 0.5
    assert routing.retry_policy == {
        FailureKind.BAD_REQUEST: 0,
        FailureKind.RATE_LIMIT: 3,
        FailureKind.BAD_GATEWAY: 2,
    }
    assert routing.group_retry_policies == {"chat": {FailureKind.TIMEOUT: 5}, "large": {}}
    assert routing.default_retries == {"": 1, "large": 0}
    assert routing.retry_share == 0.5


@pytest.mark.parametrize(
    "name",
    [
        "BadRequestError",
        "AuthenticationError",
        "TimeoutError",
        "RateLimitError",
        "ContentPolicyViolationError",
        "InternalServerError",
        "ServiceUnavailableError",
        "NotFoundError",
        "BadGatewayError",
    ],
)
def test_every_name_of_litellms_policies_is_known(build: Build, name: str) -> None:
    routing = _router(build, f"retry_policy: {{{name}Retries: 3}}, allowed_fails_policy: {{{name}AllowedFails: 4}}")
    assert routing.retry_policy == {FailureKind(name): 3}
    assert routing.allowed_fails_policy == {FailureKind(name): 4}


def test_a_misspelt_name_of_a_policy_gets_a_hint(build: Build) -> None:
    built = build(MODELS + "router_settings: {retry_policy: {RateLimitErrorRetry: 3}}\n")
    assert built.said("warning") == ["router_settings.retry_policy.RateLimitErrorRetry: is not a known key"]
    assert "did you mean RateLimitErrorRetries?" in built.all()


@pytest.mark.requirement("config.reliability")
def test_fallbacks_are_filled(build: Build) -> None:
    routing = _routing(
        build,
        """
router_settings:
  fallbacks: [{chat: [large, demo/medium]}, {large: [{model: chat}]}, {"*": [eu/spare]}]
  context_window_fallbacks: [{chat: [large]}]
  content_policy_fallbacks: [{demo/small: [chat-1]}]
  default_fallbacks: [chat]
  max_fallbacks: 2
""",
    )
    assert routing.fallbacks == {"chat": ("large", "demo/medium"), "large": ("chat",), "*": ("eu/spare",)}
    assert routing.context_window_fallbacks == {"chat": ("large",)}
    assert routing.content_policy_fallbacks == {"demo/small": ("chat-1",)}
    assert routing.default_fallbacks == ("chat",)
    assert routing.max_fallbacks == 2


def test_a_group_may_be_named_without_its_provider_and_a_pattern_as_it_stands(build: Build) -> None:
    routing = _router(build, "fallbacks: [{spare: [chat]}, {'demo/*': [chat]}]")
    assert routing.fallbacks == {"spare": ("chat",), "demo/*": ("chat",)}


def test_aliases_count_as_served(build: Build) -> None:
    routing = _router(build, "model_group_alias: {gpt: chat}, fallbacks: [{gpt: [large]}, {large: [gpt]}]")
    assert routing.aliases == {"gpt": Alias(model="chat")}
    assert routing.fallbacks == {"gpt": ("large",), "large": ("gpt",)}


def test_aliases_may_be_plain_or_hidden(build: Build) -> None:
    text = DEMO + "router_settings: {model_group_alias: {a: m, b: {model: m, hidden: true}}}\n"
    assert build(text).good.routing.aliases == {"a": Alias(model="m"), "b": Alias(model="m", is_hidden=True)}


def test_an_alias_of_a_model_that_is_not_served_is_pointed_out(build: Build) -> None:
    built = build(
        DEMO.replace("model_name: m", "model_name: model") + "router_settings: {model_group_alias: {a: modle}}\n"
    )
    assert "router_settings.model_group_alias.a: is an alias of a model that is not served" in built.said("warning")
    assert "did you mean model?" in built.all()


def test_an_alias_may_name_what_a_wildcard_matches(build: Build) -> None:
    text = DEMO.replace("model_name: m,", "model_name: 'demo/*',").replace("demo/small", "'demo/*'")
    assert build(text + "router_settings: {model_group_alias: {a: demo/large}}\n").problems == ()


@pytest.mark.parametrize("target", ["3", "[m]", "{hidden: true}", "{model: 3}", "''"])
def test_an_alias_of_another_shape_is_an_error(build: Build, target: str) -> None:
    assert build(DEMO + f"router_settings: {{model_group_alias: {{a: {target}}}}}\n").snapshot is None


def test_the_default_model_is_completion_model(build: Build) -> None:
    built = build(DEMO + "general_settings: {completion_model: m}\n")
    assert built.good.routing.default_model == "m"
    assert built.problems == ()
    assert build(DEMO + "general_settings: {completion_model: z}\n").said("warning")


@pytest.mark.requirement("config.unserved-names")
def test_groups_that_are_not_served_are_pointed_out_wherever_they_stand(build: Build) -> None:
    text = """
router_settings:
  fallbacks: [{chta: [large]}, {chat: [lage, {model: nowhere-at-all}]}]
  default_fallbacks: [larg]
  model_group_retry_policy: {chatt: {DefaultRetries: 1}}
pointsman_settings: {hedging: {lare: {}}}
"""
    built = build(MODELS + text)
    assert built.said("warning") == [
        "router_settings.fallbacks[0].chta: names a model that is not served",
        "router_settings.fallbacks[1].chat[0]: names a model that is not served",
        "router_settings.fallbacks[1].chat[1]: names a model that is not served",
        "router_settings.default_fallbacks: names a model that is not served",
        "router_settings.model_group_retry_policy.chatt: names a model that is not served",
        "pointsman_settings.hedging.lare: names a model that is not served",
    ]
    assert built.all().count("did you mean large?") == 3
    assert built.all().count("did you mean chat?") == 2


@pytest.mark.parametrize("name", ["demo/large", "gpt"])
def test_what_is_set_by_group_and_names_none_is_said_to_have_no_effect(build: Build, name: str) -> None:
    text = f"""
router_settings:
  model_group_alias: {{gpt: chat}}
  routing_groups: [{{group_name: a, models: [{name}], routing_strategy: least-busy}}]
  model_group_retry_policy: {{{name}: {{DefaultRetries: 1}}}}
pointsman_settings: {{hedging: {{{name}: {{}}}}}}
"""
    told = build(MODELS + text).said("warning")
    assert [line.partition(": ")[0] for line in told] == [
        "router_settings.routing_groups[0].models",
        f"router_settings.model_group_retry_policy.{name}",
        f"pointsman_settings.hedging.{name}",
    ]
    assert all("has no effect" in line for line in told)


def test_only_what_can_be_said_of_any_group_can_be_said_of_the_star(build: Build) -> None:
    built = build(MODELS + 'router_settings: {model_group_retry_policy: {"*": {DefaultRetries: 1}}}\n')
    assert "has no effect" in built.said("warning")[0]


def test_a_group_that_was_left_out_is_not_pointed_out_again(build: Build) -> None:
    text = MODELS + "  - {model_name: away, litellm_params: {model: openai/gpt-4o, api_key: os.environ/NOWHERE}}\n"
    built = build(text + "router_settings: {fallbacks: [{chat: [away]}, {away: [chat]}]}\n")
    assert built.said("warning") == []
    assert [line.split(": ")[0] for line in built.said("notice")] == ["model_list[4].litellm_params.api_key"]


def test_the_first_fallbacks_of_a_group_count(build: Build) -> None:
    built = build(MODELS + "router_settings: {fallbacks: [{chat: [large]}, {chat: [demo/small]}]}\n")
    assert built.good.routing.fallbacks == {"chat": ("large",)}
    assert built.said("warning") == ["router_settings.fallbacks[1].chat: has fallbacks already; the first ones count"]


def test_what_a_fallback_says_beside_its_model_is_named(build: Build) -> None:
    built = build(MODELS + "router_settings: {fallbacks: [{chat: [{model: large, temperature: 0}]}]}\n")
    assert built.good.routing.fallbacks == {"chat": ("large",)}
    assert built.said("notice") == [
        "router_settings.fallbacks[0].chat[0]: falls back to its model; what else it says is not acted on"
    ]


@pytest.mark.parametrize(
    "value", ["{chat: [large]}", "[chat]", "[{chat: [3]}]", "[{chat: ['']}]", "[{chat: [{}]}]", "3"]
)
@pytest.mark.parametrize("key", ["fallbacks", "context_window_fallbacks", "content_policy_fallbacks"])
def test_fallbacks_of_another_shape_are_an_error(build: Build, key: str, value: str) -> None:
    assert build(MODELS + f"router_settings: {{{key}: {value}}}\n").snapshot is None


@pytest.mark.requirement("config.reliability")
def test_cooldowns_are_filled(build: Build) -> None:
    routing = _router(
        build,
        "allowed_fails: 3, cooldown_time: 30, allowed_fails_policy: {RateLimitErrorAllowedFails: 100}",
    )
    assert routing.has_cooldowns
    assert (routing.allowed_fails, routing.cooldown_time) == (3, 30.0)
    assert routing.allowed_fails_policy == {FailureKind.RATE_LIMIT: 100}


@pytest.mark.parametrize("text", ["disable_cooldowns: true", "cooldown_time: 0"])
def test_cooldowns_can_be_switched_off(build: Build, text: str) -> None:
    assert not _router(build, text).has_cooldowns


def test_the_modules_settings_hold_where_the_router_says_nothing(build: Build) -> None:
    module = """
litellm_settings:
  num_retries: 1
  fallbacks: [{chat: [large]}]
  context_window_fallbacks: [{chat: [eu/spare]}]
  content_policy_fallbacks: [{large: [chat]}]
  default_fallbacks: [large]
  allowed_fails: 9
  cooldown_time: 60
"""
    routing = _routing(build, module)
    assert (routing.num_retries, routing.allowed_fails, routing.cooldown_time) == (1, 9, 60.0)
    assert routing.fallbacks == {"chat": ("large",)}
    assert routing.context_window_fallbacks == {"chat": ("eu/spare",)}
    assert routing.content_policy_fallbacks == {"large": ("chat",)}
    assert routing.default_fallbacks == ("large",)
    both = _routing(build, module + "router_settings: {num_retries: 0, fallbacks: [], default_fallbacks: [chat]}\n")
    assert (both.num_retries, both.fallbacks, both.default_fallbacks) == (0, {}, ("chat",))
    assert both.allowed_fails == 9


def test_a_problem_stands_where_the_setting_does(build: Build) -> None:
    built = build(MODELS + "litellm_settings: {fallbacks: [{chat: [gone]}]}\n")
    assert built.said("warning") == ["litellm_settings.fallbacks[0].chat[0]: names a model that is not served"]


def test_hedging_is_filled_by_group(build: Build) -> None:
    routing = _routing(
        build,
        'pointsman_settings: {hedging: {chat: {delay: p95}, large: {delay: 0.8, budget_percent: 2}, "*": }}\n',
    )
    assert routing.hedging == {"chat": Hedging(), "large": Hedging(delay=0.8, share=0.02), "*": Hedging()}


def test_adaptive_limits_are_opt_in(build: Build) -> None:
    assert _routing(build, "pointsman_settings: {adaptive_concurrency: true}\n").is_adaptive
    assert not _routing(build, "pointsman_settings: {adaptive_concurrency: false}\n").is_adaptive


@pytest.mark.parametrize(
    "text",
    [
        "router_settings: {num_retries: -1}",
        "router_settings: {num_retries: many}",
        "router_settings: {retry_policy: [1]}",
        "router_settings: {retry_policy: {DefaultRetries: -1}}",
        "router_settings: {model_group_retry_policy: {chat: 3}}",
        "router_settings: {allowed_fails_policy: {TimeoutErrorAllowedFails: x}}",
        "router_settings: {cooldown_time: -1}",
        "router_settings: {default_max_parallel_requests: 0}",
        "router_settings: {max_fallbacks: 1.5}",
        "pointsman_settings: {hedging: {chat: {delay: p99}}}",
        "pointsman_settings: {hedging: {chat: 3}}",
        "pointsman_settings: {hedging: {chat: {budget_percent: 101}}}",
        "pointsman_settings: {retry_budget_percent: 200}",
    ],
)
def test_values_that_cannot_be_are_errors(build: Build, text: str) -> None:
    built = build(MODELS + text + "\n")
    assert built.snapshot is None
    assert len(built.said("error")) == 1
