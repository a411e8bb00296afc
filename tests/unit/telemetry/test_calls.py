from __future__ import annotations

from unit.telemetry.showing import shown_by

from pointsman.telemetry.calls import deployments, extra_attempts, models, requests
from pointsman.telemetry.meters import DeploymentMeter, RouteMeter
from pointsman.wire.usage import Usage

CHAT = "/v1/chat/completions"
MODEL = "api_provider=openai,model=up,model_id=id-1,requested_model=gpt,route=/v1/chat/completions"
DEPLOYMENT = "api_provider=openai,litellm_model_name=up,model_id=id-1"


def meter(requested: str = "gpt", route: str = CHAT) -> DeploymentMeter:
    return DeploymentMeter(requested, "up", "id-1", "openai", route)


def test_requests_of_all_deployments_of_a_model_are_added_up() -> None:
    one, other, route = meter(), DeploymentMeter("gpt", "up", "id-2", "azure", CHAT), RouteMeter(CHAT)
    one.observe(200, 0.5, 0.4, None, 0.1)
    other.observe(200, 0.5, 0.4, None, 0.1)
    other.observe(502, 0.5, 0.4, None, 0.1, exception_class="UpstreamBroken")
    route.observe(401, "Unauthenticated")
    where, unread = f"requested_model=gpt,route={CHAT}", f"requested_model=,route={CHAT}"
    assert shown_by(requests([route], [one, other])) == {
        f"litellm_proxy_total_requests_metric_total{{{where},status_code=200}}": 2,
        f"litellm_proxy_total_requests_metric_total{{{where},status_code=502}}": 1,
        f"litellm_proxy_total_requests_metric_total{{{unread},status_code=401}}": 1,
        f"litellm_proxy_failed_requests_metric_total{{exception_class=UpstreamBroken,{where}}}": 1,
        f"litellm_proxy_failed_requests_metric_total{{exception_class=Unauthenticated,{unread}}}": 1,
    }


def test_only_what_was_timed_has_a_histogram_and_everything_has_its_counts() -> None:
    one = meter()
    one.observe(200, 0.5, 0.4, None, 0.1, Usage(input_tokens=3, output_tokens=4, total_tokens=7), 0.25)
    shown = shown_by(models([one]))
    assert shown[f"litellm_request_total_latency_metric_sum{{{MODEL}}}"] == 0.5
    assert shown[f"litellm_llm_api_latency_metric_sum{{{MODEL}}}"] == 0.4
    assert shown[f"litellm_overhead_latency_metric_sum{{{MODEL}}}"] == 0.1
    assert not any(name.startswith("litellm_llm_api_time_to_first_token") for name in shown)
    assert shown[f"litellm_spend_metric_total{{{MODEL}}}"] == 0.25
    assert shown[f"litellm_total_tokens_metric_total{{{MODEL}}}"] == 7
    assert shown[f"pointsman_cached_input_tokens_total{{{MODEL}}}"] == 0


def test_attempts_on_a_deployment_are_added_up_over_models_and_routes() -> None:
    one, other = meter(), meter("alias", "/v1/embeddings")
    one.observe(200, 0.5, 0.4, None, 0.1)
    one.fail_attempt("UpstreamTimeout")
    other.fail_attempt("UpstreamTimeout")
    shown = shown_by(deployments([one, other], lambda _: False))
    assert shown[f"litellm_deployment_total_requests_total{{{DEPLOYMENT}}}"] == 3
    assert shown[f"litellm_deployment_success_responses_total{{{DEPLOYMENT}}}"] == 1
    failures = "litellm_deployment_failure_responses_total{api_provider=openai,exception_class=UpstreamTimeout"
    assert shown[f"{failures},litellm_model_name=up,model_id=id-1}}"] == 2
    assert shown[f"litellm_deployment_state{{{DEPLOYMENT}}}"] == 1


def test_a_resting_deployment_is_shown_as_such() -> None:
    shown = shown_by(deployments([meter()], lambda model_id: model_id == "id-1"))
    assert shown[f"litellm_deployment_state{{{DEPLOYMENT}}}"] == 2


def test_fallbacks_are_told_by_whether_they_have_helped() -> None:
    fallbacks = {("gpt", "claude", True): 2, ("gpt", "claude", False): 1}
    assert shown_by(extra_attempts(fallbacks, {"gpt": 4})) == {
        "litellm_deployment_successful_fallbacks_total{fallback_model=claude,requested_model=gpt}": 2,
        "litellm_deployment_failed_fallbacks_total{fallback_model=claude,requested_model=gpt}": 1,
        "pointsman_retried_requests_total{requested_model=gpt}": 4,
    }
