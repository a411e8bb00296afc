from __future__ import annotations

import json
from typing import Any

import pytest
from click.testing import CliRunner, Result
from unit.cli.answering import answering

from pointsman.cli import main


def run(url: str, *words: str) -> Result:
    return CliRunner().invoke(main, ["keys", *words, "--url", url, "--admin-key", "sk-1"])


@pytest.mark.parametrize(
    ("words", "path", "asked", "answer", "said"),
    [
        (["make"], "/key/generate", {}, {"key": "sk-new"}, "sk-new"),
        (
            ["make", "--alias", "a", "--model", "m", "--model", "n", "--budget", "1.5", "--budget-duration", "1d"],
            "/key/generate",
            {"key_alias": "a", "models": ["m", "n"], "max_budget": 1.5, "budget_duration": "1d"},
            {"key": "sk-new"},
            "sk-new",
        ),
        (
            ["make", "--rpm", "0", "--tpm", "2", "--parallel", "3", "--team", "t", "--user", "u", "--duration", "1h"],
            "/key/generate",
            {
                "rpm_limit": 0,
                "tpm_limit": 2,
                "max_parallel_requests": 3,
                "team_id": "t",
                "user_id": "u",
                "duration": "1h",
            },
            {"key": "sk-new"},
            "sk-new",
        ),
        (["block", "h"], "/key/block", {"key": "h"}, {"key_name": "sk-...abcd"}, "sk-...abcd is blocked"),
        (["unblock", "h"], "/key/unblock", {"key": "h"}, {"key_name": "sk-...abcd"}, "sk-...abcd is let in"),
        (["rotate", "h"], "/key/regenerate", {"key": "h"}, {"key": "sk-new"}, "sk-new"),
        (
            ["rotate", "h", "--grace", "1h"],
            "/key/regenerate",
            {"key": "h", "grace_period": "1h"},
            {"key": "sk-new"},
            "sk-new",
        ),
        (["delete", "g", "h"], "/key/delete", {"keys": ["g", "h"]}, {"deleted_keys": ["g", "h"]}, "2 deleted"),
        (["delete", "--alias", "a"], "/key/delete", {"key_aliases": ["a"]}, {"deleted_keys": ["g"]}, "1 deleted"),
    ],
)
def test_a_command_is_one_request_of_an_admin(
    words: list[str], path: str, asked: dict[str, Any], answer: dict[str, Any], said: str
) -> None:
    with answering(200, json.dumps(answer).encode()) as gateway:
        result = run(gateway.url, *words)
    assert (result.exit_code, result.output) == (0, f"{said}\n")
    [(called, who, body)] = gateway.asked
    assert (called, who, json.loads(body)) == (path, "Bearer sk-1", asked)


def test_a_gateway_that_refuses_says_why() -> None:
    with answering(403, json.dumps({"error": {"message": "This key may not call /key/block"}}).encode()) as gateway:
        result = run(gateway.url, "block", "h")
    assert result.exit_code == 1
    assert "This key may not call /key/block" in result.output


@pytest.mark.parametrize("budget", ["nan", "inf", "1e400", "-1"])
def test_a_budget_that_is_no_sum_of_money_makes_no_key(budget: str) -> None:
    with answering(200, b"{}") as gateway:
        result = run(gateway.url, "make", "--budget", budget)
    assert result.exit_code == 2
    assert "a budget is a number" in result.output
    assert not gateway.asked
