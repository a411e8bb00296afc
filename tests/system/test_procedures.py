from __future__ import annotations

import json
import threading
from collections.abc import Iterator

import pytest
from anthropic import Anthropic
from openai import OpenAI
from openai.types.chat import ChatCompletionMessageParam
from system.fakes import thinker
from system.process import Gateway
from system.upstream.script import Answer, json_answer
from system.upstream.server import FakeUpstream

MASTER_KEY = "sk-master-canary-41f0"
CONFIG = """
model_list:
  - model_name: cheap
    litellm_params: &up
      {{model: openai/cheap-1, api_base: "{base}", api_key: k, input_cost_per_token: 1e-6, output_cost_per_token: 1e-6}}
  - model_name: dear
    litellm_params: {{<<: *up, model: openai/dear-1, input_cost_per_token: 1e-5, output_cost_per_token: 1e-5}}
  - model_name: mind
    litellm_params: {{<<: *up, model: openai/mind-1}}
  - model_name: mix
    litellm_params: {{model: router/automix, candidates: [cheap, dear], tiers: [cheap, dear], samples: 3}}
  - model_name: knn-parts
    litellm_params: {{model: router/knn-multiround, candidates: [cheap, dear], controller: mind}}
  - model_name: llm-parts
    litellm_params: {{model: router/llm-multiround, candidates: [cheap, dear], controller: mind}}
  - model_name: think
    litellm_params: {{model: router/r1, candidates: [cheap, dear], controller: mind}}
  - model_name: likely
    litellm_params: {{model: router/causallm, candidates: [cheap, dear], controller: mind, deadline: 10, belief: 1}}
  - model_name: poor
    litellm_params:
      {{model: router/automix, candidates: [cheap, dear], tiers: [cheap, dear], max_ask_cost: 0.001}}
general_settings: {{master_key: {master}}}
"""


@pytest.fixture(scope="module")
def models() -> Iterator[FakeUpstream]:
    with FakeUpstream(thinker.answer) as server:
        yield server


@pytest.fixture(scope="module")
def gateway(models: FakeUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    config = CONFIG.format(base=models.base_url, master=MASTER_KEY)
    with Gateway(tmp_path_factory.mktemp("procedures"), config) as running:
        running.key = MASTER_KEY
        yield running


@pytest.fixture
def client(gateway: Gateway) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{gateway.base_url}/v1", api_key=MASTER_KEY, max_retries=0, timeout=20) as sdk:
        yield sdk


def ask(text: str) -> list[ChatCompletionMessageParam]:
    return [{"role": "user", "content": text}]


def streamed(client: OpenAI, model: str, text: str) -> tuple[str, int]:
    """The text of a streamed answer, and the tokens of its prompts."""
    with client.chat.completions.create(
        model=model, messages=ask(text), stream=True, stream_options={"include_usage": True}
    ) as stream:
        chunks = list(stream)
    assert chunks[-1].usage is not None
    said = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    return said, chunks[-1].usage.prompt_tokens


@pytest.mark.requirement("routing.procedures.automix")
def test_automix_keeps_what_is_right_and_says_how(client: OpenAI) -> None:
    raw = client.chat.completions.with_raw_response.create(model="mix", messages=ask("Something easy"))
    answer = raw.parse()

    assert answer.choices[0].message.content == "cheap-1 on Something easy"
    assert answer.usage is not None
    assert answer.usage.prompt_tokens == 400
    assert raw.headers["x-pointsman-routed-model"] == "cheap"
    assert raw.headers["x-pointsman-reason"] == "automix"
    assert raw.headers["x-pointsman-asked"] == "answer:cheap verify:cheap*3"
    assert float(raw.headers["x-litellm-response-cost"]) == pytest.approx(4 * 110e-6)


@pytest.mark.requirement("routing.procedures.automix")
def test_automix_gives_up_what_is_doubted(client: OpenAI) -> None:
    raw = client.chat.completions.with_raw_response.create(model="mix", messages=ask("Something hard"))

    assert raw.parse().choices[0].message.content == "dear-1 on Something hard"
    assert raw.headers["x-pointsman-asked"] == "answer:cheap verify:cheap*3 answer:dear"


@pytest.mark.requirement("routing.procedures.reply")
def test_what_automix_has_accepted_is_streamed_and_what_it_gave_up_was_never_seen(client: OpenAI) -> None:
    assert streamed(client, "mix", "Something easy") == ("cheap-1 on Something easy", 400)
    assert streamed(client, "mix", "Something hard") == ("dear-1onSomethinghard", 500)


@pytest.mark.requirement("routing.procedures.llm-multiround")
def test_parts_are_asked_of_the_models_that_were_chosen(client: OpenAI, models: FakeUpstream) -> None:
    raw = client.chat.completions.with_raw_response.create(model="llm-parts", messages=ask("Both parts?"))

    assert raw.parse().choices[0].message.content == "mind-1 on Both parts?"
    assert raw.headers["x-pointsman-asked"] == "decompose:mind sub-query:cheap sub-query:dear answer:mind"
    notes = models.request("mind-1").json["messages"][-1]["content"]
    assert "cheap-1 on First part?" in json.dumps(notes)
    assert "dear-1 on Second part?" in json.dumps(notes)
    assert streamed(client, "llm-parts", "Both parts?") == ("mind-1onBothparts?", 400)


@pytest.mark.requirement("routing.procedures.knn-multiround")
def test_parts_are_asked_of_the_models_that_were_learnt(client: OpenAI) -> None:
    raw = client.chat.completions.with_raw_response.create(model="knn-parts", messages=ask("Both parts?"))

    asked = raw.headers["x-pointsman-asked"].split()
    assert asked[0] == "decompose:mind"
    assert asked[-1] == "answer:mind"
    assert all(one.startswith("sub-query:") for one in asked[1:-1])
    assert streamed(client, "knn-parts", "Both parts?")[0] == "mind-1onBothparts?"


@pytest.mark.requirement("routing.procedures.r1")
def test_a_mind_asks_and_answers(client: OpenAI) -> None:
    raw = client.chat.completions.with_raw_response.create(model="think", messages=ask("What is it?"))

    assert raw.parse().choices[0].message.content == "So it is: dear-1 on What is known of it?"
    assert raw.headers["x-pointsman-asked"] == "think:mind*2 sub-query:dear"
    assert streamed(client, "think", "What is it?") == ("So it is: dear-1 on What is known of it?", 300)


@pytest.mark.requirement("routing.procedures.causallm")
@pytest.mark.parametrize("liked", ["cheap", "dear"])
def test_what_a_model_finds_likely_moves_the_choice(client: OpenAI, models: FakeUpstream, liked: str) -> None:
    asked = ask(f"Is the {liked} one better?")
    raw = client.chat.completions.with_raw_response.create(model="likely:best", messages=asked)

    assert models.request("mind-1").json["logprobs"] is True
    assert raw.headers["x-pointsman-routed-model"] == liked
    assert raw.parse().choices[0].message.content == f"{liked}-1 on Is the {liked} one better?"
    assert streamed(client, "likely:best", f"Is the {liked} one better?")[0].startswith(f"{liked}-1")


@pytest.mark.requirement("routing.procedures.budget")
def test_when_the_money_for_asking_is_spent_one_shot_is_left(client: OpenAI) -> None:
    raw = client.chat.completions.with_raw_response.create(model="poor", messages=ask("Something easy"))

    assert raw.headers["x-pointsman-asked"] == "answer:cheap answer:dear"


@pytest.mark.requirement("routing.procedures.budget")
def test_what_a_request_may_cost_bounds_what_is_asked_for_it(client: OpenAI) -> None:
    # An answer of the dear one may cost four thousandths, and nearly half of one is spent when it would be asked for.
    raw = client.chat.completions.with_raw_response.create(
        model="mix", messages=ask("Something hard"), extra_headers={"x-pointsman-max-cost": "0.0044"}
    )

    assert raw.headers["x-pointsman-asked"] == "answer:cheap verify:cheap*3"
    assert raw.parse().choices[0].message.content == "cheap-1 on Something hard"


@pytest.mark.requirement("routing.procedures.knobs")
@pytest.mark.parametrize(
    ("quality", "served", "asks"), [("cheap", "cheap", "4"), ("1", "dear", None), ("0", "cheap", None)]
)
def test_a_quality_moves_what_automix_keeps(client: OpenAI, quality: str, served: str, asks: str | None) -> None:
    raw = client.chat.completions.with_raw_response.create(model=f"mix:{quality}", messages=ask("Something easy"))

    assert raw.headers["x-pointsman-routed-model"] == served
    assert raw.headers.get("x-pointsman-asks") == asks


@pytest.mark.requirement("routing.procedures.metrics")
@pytest.mark.requirement("routing.procedures.noted")
def test_a_request_is_counted_once_and_can_be_rated(client: OpenAI, gateway: Gateway) -> None:
    def counted() -> dict[str, float]:
        body = gateway.get("/metrics", headers={"authorization": f"Bearer {MASTER_KEY}"}).body.decode()
        lines = [line for line in body.splitlines() if line.startswith("litellm_proxy_total_requests_metric_total{")]
        return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines}

    before = counted()
    raw = client.chat.completions.with_raw_response.create(model="mix", messages=ask("Something easy to count"))
    with client.chat.completions.create(model="mix", messages=ask("Something hard to count"), stream=True) as stream:
        list(stream)
    changed = {name: count - before.get(name, 0) for name, count in counted().items() if count != before.get(name, 0)}
    chats = {name: count for name, count in changed.items() if 'route="/v1/chat/completions"' in name}
    assert sum(chats.values()) == 2
    assert all('requested_model="mix"' in name for name in chats)

    rated = gateway.post("/router/feedback", {"request_id": raw.headers["x-request-id"], "score": 1}).json
    assert rated["status"] == "taken"


@pytest.mark.requirement("routing.procedures.reply")
def test_a_client_of_another_dialect_gets_its_own(gateway: Gateway) -> None:
    with Anthropic(base_url=gateway.base_url, api_key=MASTER_KEY, max_retries=0, timeout=20) as sdk:
        answer = sdk.messages.create(
            model="mix", max_tokens=50, messages=[{"role": "user", "content": "Something easy"}]
        )
        assert answer.content[0].type == "text"
        assert answer.content[0].text == "cheap-1 on Something easy"
        assert answer.usage.input_tokens == 400
        with sdk.messages.stream(
            model="think", max_tokens=50, messages=[{"role": "user", "content": "What is it?"}]
        ) as stream:
            assert stream.get_final_text() == "So it is: dear-1 on What is known of it?"


@pytest.mark.requirement("routing.procedures.cancelled")
def test_who_leaves_lets_all_upstreams_go(gateway: Gateway, models: FakeUpstream) -> None:
    gate = models.gate()
    held = Answer(steps=(gate, json_answer({}).content))
    models.answers("cheap-1", held)
    models.answers("dear-1", held)
    body = json.dumps({"model": "llm-parts", "messages": ask("Both parts?")}).encode()
    lines = (
        "POST /v1/chat/completions HTTP/1.1",
        f"host: 127.0.0.1:{gateway.port}",
        f"authorization: Bearer {MASTER_KEY}",
        "content-type: application/json",
        f"content-length: {len(body)}",
    )
    try:
        with gateway.connect() as sock:
            sock.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
            asked = [models.request("cheap-1"), models.request("dear-1")]
        waits: list[threading.Event] = [one.closed for one in asked]
        assert all(wait.wait(20) for wait in waits)
    finally:
        gate.open()
        models.answers("cheap-1")
        models.answers("dear-1")
