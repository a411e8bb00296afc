from __future__ import annotations

import pytest

from pointsman.config.check import (
    MAX_PROBLEMS,
    Problem,
    Report,
    is_secret_name,
    nearest,
    read_section,
    without_credentials,
)
from pointsman.config.entries import INFO, PARAMS
from pointsman.config.grammar import LITELLM, ROUTER
from pointsman.config.marks import Path, Place, Spot


def _report(missing: dict[tuple[str | int, ...], str] | None = None) -> Report:
    spots: dict[Path, Spot] = {
        (): Spot(Place("c.yaml"), Place("c.yaml")),
        ("router_settings",): Spot(Place("c.yaml", 3, 1), Place("c.yaml", 4, 3)),
        ("router_settings", "timeout"): Spot(Place("c.yaml", 4, 3), Place("c.yaml", 4, 12)),
    }
    return Report("c.yaml", spots, missing or {})


def test_a_problem_prints_as_one_line_that_editors_understand() -> None:
    problem = Problem(severity="error", path="a.b", what="is wrong", hint="make it right", file="c.yaml", line=2)
    assert str(problem) == "c.yaml:2:1: error: a.b: is wrong (make it right)"


def test_a_problem_about_a_whole_file_has_no_path() -> None:
    assert str(Problem(severity="notice", what="is odd", file="c.yaml")) == "c.yaml:1:1: notice: is odd"


def test_a_wrong_value_is_reported_where_it_stands_and_the_rest_is_read() -> None:
    report = _report()
    reading = read_section({"timeout": "x", "stream_timeout": 3}, ROUTER, ("router_settings",), report)
    assert reading.values == {"stream_timeout": 3.0}
    assert not reading.is_sound
    assert str(report.problems()[0]).startswith("c.yaml:4:12: error: router_settings.timeout: ")


def test_what_has_no_place_is_reported_at_its_nearest_parent() -> None:
    report = _report()
    report.error(("router_settings", "elsewhere", 0), "is wrong")
    assert report.problems()[0].line == 3
    assert report.has_errors


def test_an_unknown_key_is_a_warning_with_the_nearest_spelling() -> None:
    report = _report()
    read_section({"time_out": 3}, ROUTER, ("router_settings",), report)
    problem = report.problems()[0]
    assert (problem.severity, problem.hint) == ("warning", "did you mean timeout?")


def test_a_key_in_the_wrong_section_is_shown_its_home() -> None:
    report = _report()
    read_section({"master_key": "x"}, LITELLM, ("litellm_settings",), report)
    assert report.problems()[0].hint == "it belongs in general_settings"


def test_a_known_key_that_is_not_acted_on_is_named_once_however_often_it_stands() -> None:
    report = _report()
    for index in range(3):
        read_section({"max_retries": 2}, PARAMS, ("model_list", index, "litellm_params"), report)
    assert [str(problem) for problem in report.problems()] == [
        (
            "c.yaml:1:1: notice: model_list[0].litellm_params.max_retries: "
            "is known but not acted on by this version, here and in 2 more places"
        )
    ]


def test_null_means_unset() -> None:
    report = _report()
    assert read_section({"timeout": None}, ROUTER, ("router_settings",), report).values == {}
    assert read_section(None, ROUTER, ("router_settings",), report).is_sound
    assert report.problems() == ()


def test_a_section_that_is_not_a_mapping_is_an_error() -> None:
    report = _report()
    assert not read_section([1], ROUTER, ("router_settings",), report).is_sound
    assert report.problems()[0].what == "must be a mapping, not a list"


def test_parameters_of_requests_are_carried_but_not_what_looks_like_a_typo_or_a_credential() -> None:
    report = _report()
    raw = {"temperature": 0, "top_k": 40, "api_kee": "x", "my_secret": "y"}
    reading = read_section(raw, PARAMS, ("model_list", 0, "litellm_params"), report)
    assert reading.extra == {"temperature": 0, "top_k": 40}
    assert sorted(problem.path.rpartition(".")[2] for problem in report.problems()) == ["api_kee", "my_secret"]


def test_families_of_keys_that_belong_to_other_vendors_are_not_sent_as_parameters() -> None:
    report = _report()
    raw = {"watsonx_apikey": "x", "gcs_bucket_name": "p"}
    reading = read_section(raw, PARAMS, ("model_list", 0, "litellm_params"), report)
    assert reading.extra == {}
    assert {problem.severity for problem in report.problems()} == {"notice"}


def test_model_info_keeps_what_is_not_listed() -> None:
    report = _report()
    reading = read_section({"owner": "me", "team_id": "t"}, INFO, ("model_list", 0, "model_info"), report)
    assert reading.extra == {"owner": "me", "team_id": "t"}
    assert [problem.path for problem in report.problems()] == ["model_list[0].model_info.team_id"]


def test_an_unset_variable_is_an_error_where_the_value_is_needed() -> None:
    path = ("router_settings", "timeout")
    report = _report({path: "LIMIT"})
    read_section({"timeout": None}, ROUTER, ("router_settings",), report)
    problems = report.problems()
    assert [(problem.severity, problem.what) for problem in problems] == [
        ("error", "the environment variable LIMIT is not set")
    ]


def test_an_unset_variable_of_a_key_that_is_not_acted_on_is_not_named_twice() -> None:
    report = _report({("router_settings", "debug_level"): "LEVEL"})
    read_section({"debug_level": None}, ROUTER, ("router_settings",), report)
    assert [problem.severity for problem in report.problems()] == ["notice"]


def test_an_unset_variable_that_nobody_asked_for_is_a_notice() -> None:
    report = _report({("elsewhere",): "NAME"})
    assert report.problems()[0].severity == "notice"


def test_errors_survive_when_there_are_more_problems_than_anybody_reads() -> None:
    report = _report()
    for _ in range(MAX_PROBLEMS + 10):
        report.notice((), "is odd")
    report.error(("router_settings", "timeout"), "is wrong")
    problems = report.problems()
    assert len(problems) == MAX_PROBLEMS
    assert problems[0].severity == "error"


@pytest.mark.parametrize(
    "name", ["api_key", "master_key", "password", "redis_password", "client_secret", "aws_session_token",
             "Authorization", "database_url", "aws_secret_access_key", "x-api-key"]
)  # fmt: skip
def test_names_of_credentials_are_recognised(name: str) -> None:
    assert is_secret_name(name)


@pytest.mark.parametrize("name", ["max_tokens", "model", "temperature", "monkey", "keepalive", "tokenizer"])
def test_other_names_are_not(name: str) -> None:
    assert not is_secret_name(name)


def test_the_nearest_spelling_is_found_or_nothing() -> None:
    assert nearest("opanai", ["openai", "groq"]) == "openai"
    assert nearest("zzz", ["openai"]) is None


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://u:p@h/x?key=k#f", "https://h/x"),
        ("s3://b/k.yaml", "s3://b/k.yaml"),
        ("/a?b@c.yaml", "/a?b@c.yaml"),
    ],
)
def test_an_address_is_shown_without_what_may_be_a_credential(text: str, shown: str) -> None:
    assert without_credentials(text) == shown
