from __future__ import annotations

import pytest

from pointsman.errors import InvalidRequest
from pointsman.providers.base import VendorOptions
from pointsman.providers.vendors import azure

DATED = VendorOptions(api_version="2024-10-21")


def path(base: str, operation: str, model: str, version: str | None = None) -> str | None:
    return azure.path(base, operation, model, is_stream=False, options=VendorOptions(api_version=version))


@pytest.mark.requirement("clouds.addresses")
@pytest.mark.parametrize(
    ("base", "operation", "version", "expected"),
    [
        ("", "chat", "2024-10-21", "/openai/deployments/gpt/chat/completions?api-version=2024-10-21"),
        ("", "chat", None, "/openai/deployments/gpt/chat/completions?api-version=2025-02-01-preview"),
        ("/openai", "embeddings", "2024-10-21", "/openai/deployments/gpt/embeddings?api-version=2024-10-21"),
        ("/team-a/", "chat", "2024-10-21", "/team-a/openai/deployments/gpt/chat/completions?api-version=2024-10-21"),
        ("", "audio_speech", "x", "/openai/deployments/gpt/audio/speech?api-version=x"),
        ("/openai/deployments/own", "chat", "x", "/openai/deployments/own/chat/completions?api-version=x"),
        (
            "/openai/deployments/own/chat/completions",
            "chat",
            "x",
            "/openai/deployments/own/chat/completions?api-version=x",
        ),
        ("", "chat", "v1", "/openai/v1/chat/completions"),
        ("", "chat", "latest", "/openai/v1/chat/completions"),
        ("", "chat", "preview", "/openai/v1/chat/completions?api-version=preview"),
        ("/openai/v1", "chat", None, "/openai/v1/chat/completions"),
        ("/openai/v1", "chat", "2024-10-21", "/openai/v1/chat/completions"),
        ("", "responses", None, "/openai/v1/responses"),
        ("", "responses", "2025-04-01-preview", "/openai/responses?api-version=2025-04-01-preview"),
        (
            "/v1/acct/gw/azure-openai/res",
            "chat",
            "x",
            "/v1/acct/gw/azure-openai/res/gpt/chat/completions?api-version=x",
        ),
        ("", "messages", None, None),
    ],
)
def test_an_operation_lies_where_its_version_of_the_api_has_it(
    base: str, operation: str, version: str | None, expected: str | None
) -> None:
    assert path(base, operation, "gpt", version) == expected


@pytest.mark.requirement("clouds.model-names")
@pytest.mark.parametrize("model", ["a/../b", "x?api-version=1", "x#y", "../../v1"])
def test_a_callers_model_cannot_leave_its_segment(model: str) -> None:
    made = path("", "chat", model, "v")
    assert made is not None
    inside = made.removeprefix("/openai/deployments/").removesuffix("/chat/completions?api-version=v")
    assert not set(inside) & set("/?#")


@pytest.mark.requirement("clouds.model-names")
@pytest.mark.parametrize("model", ["..", ".", "responses/.."])
def test_a_model_that_climbs_is_refused(model: str) -> None:
    with pytest.raises(InvalidRequest):
        path("", "chat", model)


def test_a_version_cannot_add_to_the_query() -> None:
    assert str(path("", "chat", "m", "1&x=2")).endswith("?api-version=1%26x%3D2")


def test_the_spellings_of_litellm_name_the_same_deployment() -> None:
    assert azure.name("o_series/mine") == azure.name("gpt5_series/mine") == azure.name("responses/mine") == "mine"
    assert azure.dialect("responses/mine") == "responses"
    assert azure.dialect("mine") == "openai"


def test_an_address_is_the_operators() -> None:
    assert azure.base_url(DATED, None) is None
    assert azure.base_url(DATED, "https://x.openai.azure.com") == "https://x.openai.azure.com"
    assert azure.root("/base", "m", DATED) == "/base"
    assert azure.adapt("chat", "m", {"model": "m"}) == {"model": "m"}
