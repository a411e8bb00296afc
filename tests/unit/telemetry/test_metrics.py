from __future__ import annotations

from decimal import Decimal

import pytest
from prometheus_client.parser import text_string_to_metric_families
from unit.telemetry.showing import shown_by

from pointsman.telemetry.batches import BatchCounts, LineCounts
from pointsman.telemetry.counts import ConfigCounts, LoadCounts, PoolCounts
from pointsman.telemetry.metrics import LEAVING_SECONDS, MAX_LEAVING, METRICS, Metrics
from pointsman.telemetry.routed import CheckpointCounts, LearningCounts
from pointsman.telemetry.stored import BudgetCounts, StoreCounts
from pointsman.wire.usage import Usage

LOAD = LoadCounts(refused=1, queued=2, lag_s=0.5, cache_hits=3, cache_misses=4, cache_bytes=5)
CHECKPOINT = CheckpointCounts(routed_model="auto", strategy="knn", version="0123", loaded=7.5, reloads=2, failures=1)
LEARNING = LearningCounts(
    requested_model="auto",
    ratings=12,
    alarms=1,
    trial_share=0.05,
    population=1.5,
    unknown_share=None,
    calibration={"small": -0.25},
    cost={"small": 2.0, "large": 1.5},
)
HASH_AND_ALIAS = {"hashed_api_key", "api_key_alias"}
"""Of keys: what they are found by, and what an admin calls them."""
LABELS = ("gpt", "gpt-4o-2024", "id-1", "openai", "/v1/chat/completions")


def samples(metrics: Metrics) -> dict[str, float]:
    content_type, body = metrics.render()
    assert content_type.startswith(b"text/plain")
    return shown_by(text_string_to_metric_families(body.decode()))


CONFIG = ConfigCounts(hash="0123", number=3, loaded=7.5, reloads=2, failures=1, is_broken=True, unchanged=6)


BATCHES = BatchCounts(batches=1, lines=2, oldest_seconds=3.0, done=LineCounts())
STORE = StoreCounts(
    is_up=True,
    keys=5,
    waiting=6,
    folded=7,
    lost=8,
    contents_dropped=9,
    budgets=(
        BudgetCounts(labels=("0abc", "mine"), left=0.5, most=1.0),
        BudgetCounts(labels=("t1",), left=-0.25, most=2.0, is_of_team=True),
    ),
)


def used() -> Metrics:
    metrics = Metrics(
        "1.2",
        pool=lambda: PoolCounts(3, 2, 1),
        log_drops=lambda: 4,
        load=lambda: LOAD,
        checkpoints=lambda: [CHECKPOINT],
        learning=lambda: [LEARNING],
        decision_drops=lambda: 3,
        config=lambda: CONFIG,
        store=lambda: STORE,
        batches=lambda: BATCHES,
    )
    meter = metrics.bind_deployment(*LABELS)
    usage = Usage(input_tokens=3, output_tokens=4, total_tokens=7, cached_input_tokens=1)
    meter.observe(200, 0.5, 0.4, 0.1, 0.0003, usage, 0.25)
    meter.fail_attempt("UpstreamTimeout")
    meter.observe(502, 0.5, 0.4, None, 0.0003, exception_class="UpstreamBroken")
    metrics.bind_route("/v1/chat/completions").observe(401, "Unauthenticated")
    meter.rest()
    meter.hedge(Decimal("0.5"))
    metrics.observe_extra("gpt", "claude", has_retries=True, is_success=True)
    metrics.observe_extra("gpt", "claude", has_retries=False, is_success=False)
    metrics.bind_routed("auto").observe("small", "gain", 0.0002, 0.5)
    metrics.in_flight = 5
    return metrics


def test_the_numbers_are_shown_under_the_names_that_dashboards_use() -> None:
    shown = samples(used())
    model = "api_provider=openai,model=gpt-4o-2024,model_id=id-1,requested_model=gpt,route=/v1/chat/completions"
    deployment = "api_provider=openai,litellm_model_name=gpt-4o-2024,model_id=id-1"
    request = "requested_model=gpt,route=/v1/chat/completions"
    wanted = {
        "pointsman_routing_decisions_total{chosen_model=small,reason=gain,requested_model=auto}": 1,
        "pointsman_routing_decision_seconds_count{requested_model=auto}": 1,
        "pointsman_routing_predicted_spend_total{requested_model=auto}": 0.5,
        "pointsman_checkpoint_info{requested_model=auto,strategy=knn,version=0123}": 1,
        "pointsman_checkpoint_loaded_timestamp_seconds{requested_model=auto}": 7.5,
        "pointsman_checkpoint_reloads_total{requested_model=auto}": 2,
        "pointsman_checkpoint_failures_total{requested_model=auto}": 1,
        f"litellm_proxy_total_requests_metric_total{{{request},status_code=200}}": 1,
        f"litellm_proxy_total_requests_metric_total{{{request},status_code=502}}": 1,
        "litellm_proxy_total_requests_metric_total{requested_model=,route=/v1/chat/completions,status_code=401}": 1,
        f"litellm_proxy_failed_requests_metric_total{{exception_class=UpstreamBroken,{request}}}": 1,
        f"litellm_request_total_latency_metric_count{{{model}}}": 2,
        f"litellm_request_total_latency_metric_sum{{{model}}}": 1.0,
        f"litellm_llm_api_time_to_first_token_metric_count{{{model}}}": 1,
        f"litellm_spend_metric_total{{{model}}}": 0.75,
        f"litellm_total_tokens_metric_total{{{model}}}": 7,
        f"litellm_input_tokens_metric_total{{{model}}}": 3,
        f"litellm_output_tokens_metric_total{{{model}}}": 4,
        f"litellm_deployment_total_requests_total{{{deployment}}}": 3,
        f"litellm_deployment_success_responses_total{{{deployment}}}": 1,
        f"litellm_deployment_state{{{deployment}}}": 1,
        f"litellm_deployment_cooled_down_total{{{deployment}}}": 1,
        f"pointsman_hedged_attempts_total{{{deployment}}}": 1,
        f"pointsman_hedged_spend_metric_total{{{deployment}}}": 0.5,
        "litellm_deployment_successful_fallbacks_total{fallback_model=claude,requested_model=gpt}": 1,
        "litellm_deployment_failed_fallbacks_total{fallback_model=claude,requested_model=gpt}": 1,
        "pointsman_retried_requests_total{requested_model=gpt}": 1,
        "pointsman_requests_refused_total": 1,
        "pointsman_requests_queued": 2,
        "pointsman_event_loop_lag_seconds": 0.5,
        "litellm_cache_hits_metric_total": 3,
        "litellm_cache_misses_metric_total": 4,
        "pointsman_cache_bytes": 5,
        "litellm_in_flight_requests": 5,
        "pointsman_upstream_connections_open": 3,
        "pointsman_upstream_requests_waiting": 1,
        "pointsman_log_records_dropped_total": 4,
        "pointsman_config_info{hash=0123}": 1,
        "pointsman_config_number": 3,
        "pointsman_config_broken": 1,
        "pointsman_config_reloads_total": 2,
        "pointsman_config_failures_total": 1,
        "pointsman_config_source_unchanged_total": 6,
    }
    for name, value in wanted.items():
        assert shown.get(name) == value, name


def test_every_name_of_the_table_is_shown_with_its_kind() -> None:
    text = used().render()[1].decode()
    for fact in METRICS:
        assert f"# TYPE {fact.name} {fact.kind}\n" in text
        assert f"# HELP {fact.name} {fact.help}\n" in text
    shown = {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE ")}
    ours = {name for name in shown if name.startswith(("litellm_", "pointsman_"))}
    assert ours == {fact.name for fact in METRICS}
    assert "process_resident_memory_bytes" in shown


def test_counters_alone_end_in_total_and_names_are_unique() -> None:
    assert len({fact.name for fact in METRICS}) == len(METRICS)
    for fact in METRICS:
        assert fact.name.endswith("_total") == (fact.kind == "counter")


@pytest.mark.parametrize("word", ["key", "base", "address", "ip", "agent", "user", "host"])
def test_no_label_is_one_that_a_caller_could_fill(word: str) -> None:
    for fact in METRICS:
        for label in set(fact.labels) - HASH_AND_ALIAS - {"agent"}:  # one that is registered, not a client's name
            assert word not in label.split("_")


def test_the_same_labels_give_the_same_meter() -> None:
    metrics = Metrics("1")
    assert metrics.bind_deployment(*LABELS) is metrics.bind_deployment(*LABELS)
    assert metrics.bind_route("/a") is metrics.bind_route("/a")


def test_beyond_the_bound_everything_is_counted_as_other() -> None:
    metrics = Metrics("1", max_series=2)
    meters = [metrics.bind_deployment("m", "up", f"id-{number}", "openai", "/r") for number in range(5)]
    assert meters[2] is meters[3] is meters[4]
    assert meters[4].model_id == meters[4].requested_model == "other"
    routes = [metrics.bind_route(f"/{number}") for number in range(5)]
    assert routes[2] is routes[4]
    meters[4].observe(200, 0.1, 0.1, None, 0.001)
    assert samples(metrics)[
        "litellm_proxy_total_requests_metric_total{requested_model=other,route=other,status_code=200}"
    ]


def test_pairs_of_groups_are_bounded_as_well() -> None:
    metrics = Metrics("1", max_series=2)
    for number in range(5):
        metrics.observe_extra(f"group {number}", "other group", has_retries=True, is_success=True)
    assert set(metrics.retried()) == {"group 0", "group 1", "other"}
    assert sum(metrics.fallbacks().values()) == 5
    assert len(metrics.fallbacks()) == 3


def test_quotes_and_newlines_in_a_name_do_not_break_the_text() -> None:
    metrics = Metrics("1")
    metrics.bind_deployment('a"b\nc\\', "up", "id", "openai", "/r").observe(200, 0.1, 0.1, None, 0.001)
    assert any('a"b\nc\\' in name for name in samples(metrics))


def test_series_of_what_is_configured_no_more_are_shown_once_and_then_go() -> None:
    metrics = used()
    metrics.keep_only({"claude"}, {"id-2"}, now=0.0)
    assert "id-1" in metrics.render()[1].decode()
    shown = metrics.render()[1].decode()
    assert "id-1" not in shown
    assert 'requested_model="gpt"' not in shown
    assert 'requested_model="auto"' not in shown.replace("pointsman_checkpoint", "")[: shown.index("checkpoint")]


def test_series_that_nobody_scrapes_go_after_a_while_or_when_they_are_many() -> None:
    metrics = Metrics("1")
    metrics.bind_deployment(*LABELS)
    metrics.keep_only((), (), now=0.0)
    assert len(tuple(metrics.deployment_meters())) == 1
    metrics.keep_only((), (), now=LEAVING_SECONDS)
    assert not tuple(metrics.deployment_meters())
    for number in range(MAX_LEAVING + 5):
        metrics.bind_deployment("gpt", "m", f"id-{number}", "openai", "/v1")
    metrics.keep_only((), (), now=0.0)
    assert next(iter(metrics.deployment_meters())).model_id == "id-5"
    metrics.bind_deployment("gpt", "m", "id-4", "openai", "/v1")
    metrics.keep_only({"gpt"}, {"id-4"}, now=0.0)
    metrics.render()
    assert [meter.model_id for meter in metrics.deployment_meters()] == ["id-4"]
