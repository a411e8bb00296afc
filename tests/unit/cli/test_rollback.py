from __future__ import annotations

import json

import pytest
from click.testing import CliRunner, Result
from unit.cli.answering import answering

from pointsman.cli import main


def run(url: str) -> Result:
    return CliRunner().invoke(main, ["rollback", "--url", url, "--key", "sk-1"])


@pytest.mark.requirement("config.kept.rollback")
def test_the_gateway_is_asked_to_go_back_and_says_what_that_changes() -> None:
    body = {"status": "success", "reloaded": ["config"], "errors": [], "changes": ["~ routing.num_retries: 3 to 2"]}
    with answering(200, json.dumps(body).encode()) as gateway:
        result = run(gateway.url)
    assert result.exit_code == 0
    assert result.output.splitlines() == [
        "~ routing.num_retries: 3 to 2",
        "The previous config is in force until its source changes",
    ]
    assert gateway.asked == [("/config/rollback", "Bearer sk-1", b"{}")]


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (200, {"status": "failed", "errors": ["there is no config before this one"]}, "there is no config before"),
        (200, {"status": "failed", "errors": []}, "did not go back"),
        (200, {"status": "partial", "errors": [], "reloaded": ["config"]}, "not all workers"),
        (401, {"error": {"message": "Invalid API key"}}, "Invalid API key"),
    ],
)
def test_a_gateway_that_does_not_go_back_says_why(status: int, body: object, said: str) -> None:
    with answering(status, json.dumps(body).encode()) as gateway:
        result = run(gateway.url)
    assert result.exit_code == 1
    assert said in result.output
