from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from pointsman.cli.route import route

CONFIG = """
model_list:
  - model_name: small
    litellm_params: {model: demo/small, input_cost_per_token: 0.0000001, output_cost_per_token: 0.0000004}
  - model_name: large
    litellm_params: {model: demo/large, input_cost_per_token: 0.00001, output_cost_per_token: 0.00004}
  - {model_name: auto, litellm_params: {model: router/auto}}
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text(CONFIG)
    return path


def _run(config: Path, *arguments: str, typed: str | None = None) -> tuple[int, str, str]:
    result = CliRunner().invoke(route, [*arguments, "-c", str(config)], input=typed)
    return result.exit_code, result.stdout, result.stderr


@pytest.mark.requirement("routing.learned.route-command")
def test_what_would_be_chosen_and_why_is_printed(config: Path) -> None:
    code, out, _ = _run(config, "Prove that there are infinitely many primes.", "--quality", "best")
    assert code == 0
    lines = out.splitlines()
    assert lines[0] == "auto → large: baseline"
    assert lines[1].startswith("by prior, quality knob 1.00; best on average: large")
    assert lines[3].split() == ["model", "quality", "±", "$", "/", "1,000", "gain"]
    assert [line.split()[0] for line in lines[4:6]] == ["large", "small"]
    assert lines[7].startswith("cheaper: small with a knob at ")
    assert lines[8] == "better: no setting chooses another model that is better for this prompt"


def test_knobs_are_options_or_part_of_the_name(config: Path) -> None:
    for arguments in (["--quality", "0"], ["--model", "auto:0"], ["--max-cost", "0.001"], ["--min-quality", "0.1"]):
        assert _run(config, "Hello", *arguments)[1].startswith("auto → small")


def test_a_prompt_may_come_from_standard_input(config: Path) -> None:
    code, out, _ = _run(config, "-", "--json", typed="From a file")
    assert (code, json.loads(out)["prompt"]) == (0, "From a file")


def test_a_prompt_that_is_no_text_is_refused(config: Path) -> None:
    result = CliRunner().invoke(route, ["-", "-c", str(config)], input=b"caf\xe9")
    assert (result.exit_code, result.stderr) == (1, "Error: standard input is not UTF-8, from byte 3 on\n")
    assert _run(config, "caf\udce9")[2] == "Error: PROMPT is not UTF-8, from byte 3 on\n"


def test_what_cannot_be_asked_is_said_in_a_line(config: Path) -> None:
    assert "is no routed model" in _run(config, "x", "--model", "small")[2]
    assert "Invalid 'quality'" in _run(config, "x", "--quality", "much")[2]


def test_a_config_without_routed_models_or_with_errors_is_refused(config: Path) -> None:
    config.write_text("model_list: [{model_name: small, litellm_params: {model: demo/small}}]\n")
    assert "is chosen for each prompt" in _run(config, "x")[2]
    config.write_text(CONFIG.replace("router/auto", "router/ato"))
    code, _, err = _run(config, "x")
    assert (code, "names no strategy" in err) == (1, True)
