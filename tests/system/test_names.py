from __future__ import annotations

from typing import Any

import pytest
from openai import AzureOpenAI, NotFoundError, OpenAI
from openai.types.chat import ChatCompletionMessageParam
from system.conftest import MASTER_KEY
from system.process import Gateway
from system.upstream.answers import TEXT, VECTOR
from system.upstream.server import FakeUpstream

HELLO: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Hello"}]
CASES: dict[str, dict[str, Any]] = {
    "/chat/completions": {"messages": HELLO},
    "/completions": {"prompt": "Hello"},
    "/responses": {"input": "Hello"},
    "/embeddings": {"input": "Hello"},
    "/images/generations": {"prompt": "Hello"},
    "/audio/speech": {"input": "Hello", "voice": "alloy"},
    "/moderations": {"input": "Hello"},
    "/rerank": {"query": "Hello", "documents": ["a"]},
}


@pytest.mark.requirement("models")
def test_models_are_listed_by_public_name(client: OpenAI) -> None:
    models = {model.id: model for model in client.models.list()}
    assert {"house-chat", "house-alias", "cohere-rerank"} <= models.keys()
    assert "house-hidden" not in models
    assert not [name for name in models if "*" in name]
    assert models["house-chat"].object == "model"
    assert models["house-chat"].owned_by == "openai"


@pytest.mark.requirement("models")
@pytest.mark.parametrize("name", ["house-chat", "house-alias", "fake/anything"])
def test_one_model_is_shown(client: OpenAI, name: str) -> None:
    assert client.models.retrieve(name).id == name


@pytest.mark.requirement("models")
def test_an_unknown_model_is_not_shown(client: OpenAI) -> None:
    with pytest.raises(NotFoundError) as caught:
        client.models.retrieve("nobody")
    assert (caught.value.code, caught.value.status_code) == ("model_not_found", 404)


@pytest.mark.requirement("model-info")
@pytest.mark.parametrize("path", ["/model/info", "/v1/model/info"])
def test_deployments_are_shown_without_credentials(gateway: Gateway, path: str) -> None:
    reply = gateway.get(path)
    first = reply.json["data"][0]
    assert first["model_name"] == "house-chat"
    assert first["model_info"]["id"] == "house-chat-1"
    assert b"canary" not in reply.body


@pytest.mark.requirement("chat.whole", "start.litellm-config")
@pytest.mark.parametrize("name", ["house-alias", "house-hidden", "house-chat-1"])
def test_an_alias_or_a_deployments_id_can_be_called_and_is_echoed(client: OpenAI, name: str) -> None:
    answer = client.chat.completions.create(model=name, messages=HELLO)
    assert answer.model == name


@pytest.mark.requirement("start.litellm-config")
@pytest.mark.parametrize(
    ("asked", "sent"), [("fake/some/model:v1", "some/model:v1"), ("fake/inner-one", "specific-one")]
)
def test_the_most_specific_wildcard_wins(client: OpenAI, upstream: FakeUpstream, asked: str, sent: str) -> None:
    answer = client.chat.completions.create(model=asked, messages=HELLO)
    assert answer.model == asked
    assert upstream.request(sent).json["model"] == sent


@pytest.mark.requirement("paths")
@pytest.mark.parametrize("path", CASES)
def test_every_json_endpoint_answers_at_its_three_paths(gateway: Gateway, upstream: FakeUpstream, path: str) -> None:
    body = {"model": "fake/paths", **CASES[path]}
    for prefix in ("/v1", "", "/openai/deployments/fake%2Fpaths"):
        reply = gateway.post(prefix + path, body)
        assert reply.status == 200, (prefix, reply.body)
        assert upstream.request("paths").target == "/v1" + path


@pytest.mark.requirement("paths")
def test_the_azure_client_works(gateway: Gateway) -> None:
    with AzureOpenAI(
        azure_endpoint=gateway.base_url, api_key=MASTER_KEY, api_version="2024-10-21", max_retries=0
    ) as client:
        answer = client.chat.completions.create(model="house-chat", messages=HELLO)
        assert (answer.model, answer.choices[0].message.content) == ("house-chat", TEXT)
        with client.chat.completions.create(model="house-chat", messages=HELLO, stream=True) as stream:
            assert "".join(chunk.choices[0].delta.content or "" for chunk in stream) == TEXT
        assert client.embeddings.create(model="house-chat", input="x").data[0].embedding == list(VECTOR)


@pytest.mark.requirement("paths")
def test_the_azure_paths_model_goes_before_the_bodys(gateway: Gateway, upstream: FakeUpstream) -> None:
    path = "/openai/deployments/house-chat/chat/completions?api-version=2024-10-21"
    for body in ({"messages": HELLO}, {"model": "gpt-whatever", "messages": HELLO}):
        reply = gateway.post(path, body)
        assert reply.json["model"] == "house-chat"
        assert upstream.request("gpt-4o").json["model"] == "gpt-4o"


@pytest.mark.requirement("rerank")
@pytest.mark.parametrize("path", ["/rerank", "/v1/rerank", "/v2/rerank"])
@pytest.mark.parametrize("model", ["cohere-rerank", "jina-rerank", "fake/reranker"])
def test_rerank_answers_in_coheres_shape(gateway: Gateway, path: str, model: str) -> None:
    body = {"model": model, "query": "signal", "documents": ["a", {"text": "b"}, "c"], "top_n": 2}
    answer = gateway.post(path, {**body, "return_documents": True}).json
    assert answer["id"]
    assert [result["index"] for result in answer["results"]] in ([2, 1], [1, 0])
    assert answer["results"][0]["document"] == {"text": "c" if answer["results"][0]["index"] == 2 else "b"}
    scores = [result["relevance_score"] for result in answer["results"]]
    assert scores == sorted(scores, reverse=True)
    assert answer["meta"]["api_version"] == {"version": "2"}


@pytest.mark.requirement("rerank")
def test_rerank_speaks_coheres_v2_to_cohere(gateway: Gateway, upstream: FakeUpstream) -> None:
    body = {
        "model": "cohere-rerank",
        "query": "q",
        "documents": [{"title": "t", "body": "b"}],
        "rank_fields": ["title"],
    }
    answer = gateway.post("/v1/rerank", {**body, "return_documents": False, "max_tokens_per_doc": 64}).json
    received = upstream.request("rerank-v3.5")
    assert received.target == "/v2/rerank"
    sent = {"model": "rerank-v3.5", "query": "q", "documents": ["title: t"], "max_tokens_per_doc": 64}
    assert {name: value for name, value in received.json.items() if name != "return_documents"} == sent
    assert "document" not in answer["results"][0]


@pytest.mark.requirement("rerank")
def test_rerank_speaks_jinas_shape_to_jina(gateway: Gateway, upstream: FakeUpstream) -> None:
    answer = gateway.post("/rerank", {"model": "jina-rerank", "query": "q", "documents": ["a", "b"]}).json
    assert upstream.request("jina-reranker-v2").target == "/v1/rerank"
    assert answer["meta"]["tokens"] == {"input_tokens": 9}
