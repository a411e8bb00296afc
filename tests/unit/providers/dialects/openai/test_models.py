from __future__ import annotations

import pytest

from pointsman.providers.dialects.openai import models


@pytest.mark.parametrize(
    ("model", "limit", "none", "breakpoints", "googles"),
    [
        ("gpt-4.1", False, False, False, False),
        ("gpt-4o-mini", False, False, False, False),
        ("gpt-oss-120b", False, False, False, False),
        ("o3-mini", True, False, False, False),
        ("openai/o4-mini", True, False, False, False),
        ("gpt-5-nano", True, False, False, False),
        ("gpt-5.1", True, True, False, False),
        ("gpt-5.6", True, True, True, False),
        ("gpt-6-astra", True, True, True, False),
        ("openrouter/openai/gpt-10", True, True, True, False),
        ("olmo-2", False, False, False, False),
        ("gemini-3-pro", False, False, False, True),
        ("google/gemini-2.5-flash", False, False, False, True),
        ("deepseek-v4", False, False, False, False),
    ],
)
def test_a_models_name_tells_what_its_server_takes(
    model: str, limit: bool, none: bool, breakpoints: bool, googles: bool
) -> None:
    found = (
        models.takes_completion_limit(model),
        models.takes_no_effort(model),
        models.takes_breakpoints(model),
        models.is_googles(model),
    )
    assert found == (limit, none, breakpoints, googles)


@pytest.mark.parametrize(
    ("model", "takes"), [("gpt-5", True), ("openai/gpt-6-astra", True), ("o3", False), ("gpt-4.1", False), ("m", False)]
)
def test_tools_of_free_text_are_known_from_gpt_5_on(model: str, takes: bool) -> None:
    assert models.takes_custom_tools(model) is takes
