from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from pointsman.config import Loaded, load
from pointsman.config.discovery import DEMO_MODELS
from pointsman.config.loading import load_fetched
from pointsman.config.sources.base import MAX_FILE_BYTES, Fetched, Version

ROOT = Path(__file__).parents[3]
EXAMPLES = sorted((ROOT / "examples").glob("*.yaml"))
KEYS = {
    "LITELLM_MASTER_KEY": "sk-master",
    "OPENAI_API_KEY": "sk-o",
    "OPENAI_API_KEY_2": "sk-o2",
    "OPENAI_ORGANIZATION_2": "org",
    "ANTHROPIC_API_KEY": "sk-a",
    "GROQ_API_KEY": "sk-g",
    "COHERE_API_KEY": "sk-c",
    "JINA_AI_API_KEY": "sk-j",
}

BIG = """
include: [more.yaml]
environment_variables:
  TEAM_KEY: sk-team
  REDIS_HOST: redis
model_list:
  - model_name: gpt-4o
    litellm_params: &openai
      model: openai/gpt-4o
      api_key: os.environ/OPENAI_API_KEY
      rpm: 500
      max_retries: 2
    model_info: {id: primary, mode: chat, base_model: gpt-4o, supports_vision: true, access_groups: [beta]}
  - model_name: gpt-4o
    litellm_params:
      <<: *openai
      api_key: os.environ/TEAM_KEY
      tags: [team]
  - model_name: azure-gpt
    litellm_params:
      model: azure/gpt-4o-eu
      api_base: https://x.openai.azure.com/
      api_version: 2024-06-01
      api_key: os.environ/AZURE_API_KEY
  - model_name: bedrock-claude
    litellm_params: {model: bedrock/us.anthropic.claude-v2, aws_region_name: us-east-1, aws_access_key_id: os.environ/A}
  - model_name: bedrock/us.*
    litellm_params: {model: bedrock/us.*}
  - model_name: anthropic/*
    litellm_params: {model: anthropic/*, api_key: os.environ/ANTHROPIC_API_KEY}
  - model_name: "*"
    litellm_params: {model: "*"}
  - model_name: whisper
    litellm_params: {model: whisper-1, api_key: os.environ/OPENAI_API_KEY}
    model_info: {mode: audio_transcription}
  - model_name: local
    litellm_params:
      model: openai/llama
      api_base: http://127.0.0.1:8000/v1
      api_key: none
      temperature: 0.2
      stream_timeout: 10
      extra_body: {top_k: 5}
      input_cost_per_token: 0.000001
router_settings:
  routing_strategy: usage-based-routing-v2
  model_group_alias: {gpt-4: gpt-4o, secret: {model: local, hidden: true}}
  num_retries: 3
  fallbacks: [{gpt-4o: [local]}]
  redis_host: os.environ/REDIS_HOST
  redis_password: os.environ/REDIS_PASSWORD
litellm_settings:
  drop_params: true
  set_verbose: false
  request_timeout: 300
  success_callback: [langfuse]
  cache: true
  cache_params: {type: redis, host: os.environ/REDIS_HOST}
general_settings:
  master_key: os.environ/LITELLM_MASTER_KEY
  database_url: os.environ/DATABASE_URL
  store_model_in_db: true
  completion_model: local
guardrails:
  - guardrail_name: pii
    litellm_params: {guardrail: presidio, mode: pre_call}
mcp_servers:
  github: {url: https://example.com/mcp, transport: http}
"""


def _text(loaded: Loaded) -> str:
    return "\n".join(str(problem) for problem in loaded.problems)


def test_a_big_litellm_config_starts_and_names_all_that_is_not_acted_on(tmp_path: Path) -> None:
    (tmp_path / "more.yaml").write_text("model_list: [{model_name: extra, litellm_params: {model: demo/small}}]\n")
    path = tmp_path / "config.yaml"
    path.write_text(BIG)
    loaded = load(path, KEYS)
    assert loaded.snapshot is not None, _text(loaded)
    names = [one.model_name for one in loaded.snapshot.deployments]
    assert names.count("gpt-4o") == 2
    assert {"whisper", "local", "extra", "anthropic/*", "*"} <= set(names)
    assert "bedrock/us.*" in names
    assert not {"azure-gpt", "bedrock-claude"} & set(names)
    named = {problem.path for problem in loaded.problems}
    assert {
        "guardrails",
        "router_settings.redis_password",
        "litellm_settings.success_callback",
        "general_settings.database_url",
        "model_list[0].litellm_params.max_retries",
        "model_list[2].litellm_params.api_key",
        "model_list[3].litellm_params.aws_access_key_id",
    } <= named
    assert not {"router_settings.num_retries", "router_settings.fallbacks", "router_settings.routing_strategy"} & named
    assert loaded.snapshot.routing.fallbacks == {"gpt-4o": ("local",)}
    assert "sk-" not in _text(loaded)
    assert loaded.snapshot.sources == (str(path), str(tmp_path / "more.yaml"))


def test_without_a_config_the_demo_is_served() -> None:
    loaded = load(None, {})
    assert loaded.snapshot is not None
    names = [one.model_name for one in loaded.snapshot.deployments]
    assert names == list(DEMO_MODELS)
    assert loaded.snapshot.is_master_key_automatic
    assert loaded.problems == ()


def test_without_a_config_providers_are_found_by_their_keys() -> None:
    loaded = load(None, {"GROQ_API_KEY": "g"}, number=4)
    assert loaded.snapshot is not None
    assert "groq/*" in {one.model_name for one in loaded.snapshot.deployments}
    assert loaded.snapshot.number == 4


def test_the_quickstart_example_says_what_no_config_says() -> None:
    from_file = load(ROOT / "examples" / "quickstart.yaml", KEYS).snapshot
    without = load(None, KEYS).snapshot
    assert from_file is not None
    assert without is not None
    assert from_file.deployments == without.deployments
    assert from_file.hash == without.hash
    assert (from_file.access, from_file.routing, from_file.upstream, from_file.serving) == (
        without.access,
        without.routing,
        without.upstream,
        without.serving,
    )


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_every_example_serves_all_that_it_lists(path: Path) -> None:
    loaded = load(path, KEYS)
    assert loaded.snapshot is not None, _text(loaded)
    assert loaded.snapshot.deployments
    assert "left out" not in _text(loaded)
    assert not [problem for problem in loaded.problems if problem.severity != "notice"]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_no_example_stops_the_start_for_want_of_a_provider_key(path: Path) -> None:
    assert load(path, {"LITELLM_MASTER_KEY": "sk-master"}).snapshot is not None


def test_a_file_that_cannot_be_read_is_a_problem(tmp_path: Path) -> None:
    loaded = load(tmp_path / "absent.yaml", {})
    assert loaded.snapshot is None
    (problem,) = loaded.problems
    assert "cannot read" in problem.what


PRICED = """
model_list: [{model_name: m, litellm_params: {model: openai/gpt-4o, api_key: k}}]
pointsman_settings: {prices_file: mine.json}
"""
TABLE = '{"as_of": "2026-01-02", "source": "s", "licence": "l", "models": {"openai": {"gpt-4o": %s}}}'


def _priced(folder: Path, table: str | None) -> Loaded:
    (folder / "config.yaml").write_text(PRICED)
    if table is not None:
        (folder / "mine.json").write_text(table)
    return load(folder / "config.yaml", {})


@pytest.mark.requirement("prices.update")
def test_a_price_table_of_ones_own_stands_beside_the_config_and_takes_the_place_of_the_built_in_one(
    tmp_path: Path,
) -> None:
    loaded = _priced(tmp_path, TABLE % '{"input": "7"}')
    assert loaded.snapshot is not None, _text(loaded)
    assert loaded.problems == ()
    price = loaded.snapshot.deployments[0].price
    assert (price.input_usd_per_token, price.output_usd_per_token) == (Decimal("0.000007"), None)
    assert set(loaded.snapshot.models) == {"openai"}


def test_other_prices_are_another_hash(tmp_path: Path) -> None:
    one, same, other = (_priced(tmp_path, TABLE % text).snapshot for text in ('{"input": "7"}',) * 2 + ("{}",))
    assert one is not None
    assert same is not None
    assert other is not None
    assert one.hash == same.hash != other.hash


@pytest.mark.parametrize(
    ("table", "why"),
    [
        (None, "cannot read"),
        ("{}", "is no price table"),
        (TABLE % '{"input": "-7"}', "is no price table"),
        ("x" * (MAX_FILE_BYTES + 1), "larger than"),
    ],
)
def test_a_price_table_that_cannot_be_used_keeps_the_gateway_from_starting(
    tmp_path: Path, table: str | None, why: str
) -> None:
    loaded = _priced(tmp_path, table)
    assert loaded.snapshot is None
    [problem] = loaded.problems
    assert (problem.path, problem.line) == ("pointsman_settings.prices_file", 3)
    assert why in problem.what


def test_what_is_said_of_the_address_of_a_price_table_holds_no_credential(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("pointsman_settings: {prices_file: 'https://u:SECRET-1@h/x.json?sig=SECRET-2'}\n")
    said = _text(load(path, {}))
    assert "cannot read https://h/x.json: " in said
    assert "SECRET" not in said


def test_a_price_table_is_named_by_text(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("pointsman_settings: {prices_file: [mine.json]}\n")
    assert "prices_file" in _text(load(tmp_path / "config.yaml", {}))


def fetched(**documents: str) -> Fetched:
    """Documents of a bucket."""
    texts = {f"s3://b/p/{name.replace('_', '.')}": text.encode() for name, text in documents.items()}
    main = "s3://b/p/config.yaml"
    return Fetched(kind="s3", name=main, main=main, documents=texts, version=Version("e", 0.0))


@pytest.mark.requirement("config.source.objects")
def test_documents_of_a_bucket_are_loaded_with_the_tables_beside_them() -> None:
    found = fetched(config_yaml=PRICED + "include: [more.yaml]\n", more_yaml=MORE, mine_json=TABLE % '{"input": "7"}')
    loaded = load_fetched(found, {}, 4)
    assert loaded.snapshot is not None, _text(loaded)
    assert loaded.snapshot.number == 4
    assert [one.model_name for one in loaded.snapshot.deployments] == ["m", "n"]
    assert loaded.snapshot.deployments[0].price.input_usd_per_token == Decimal("0.000007")
    assert loaded.snapshot.sources == ("s3://b/p/config.yaml", "s3://b/p/more.yaml")


MORE = "model_list: [{model_name: n, litellm_params: {model: demo/small}}]\n"


def test_problems_of_a_bucket_stand_where_its_objects_do() -> None:
    text = _text(load_fetched(fetched(config_yaml=PRICED + "include: [more.yaml]\n"), {}))
    assert "s3://b/p/config.yaml:4:11: error: include: cannot read s3://b/p/more.yaml: not a readable file" in text
    assert "cannot read s3://b/p/mine.json" in text


def test_the_same_documents_have_the_same_hash_wherever_they_lie(tmp_path: Path) -> None:
    table = TABLE % "{}"
    in_bucket = load_fetched(fetched(config_yaml=PRICED, mine_json=table), {}).snapshot
    in_file = _priced(tmp_path, table).snapshot
    assert in_bucket is not None
    assert in_file is not None
    assert in_bucket.hash == in_file.hash


def test_a_table_may_be_named_by_a_variable(tmp_path: Path) -> None:
    (tmp_path / "mine.json").write_text(TABLE % '{"input": "7"}')
    (tmp_path / "config.yaml").write_text(PRICED.replace("mine.json", "os.environ/PRICES"))
    loaded = load(tmp_path / "config.yaml", {"PRICES": "mine.json"})
    assert loaded.snapshot is not None, _text(loaded)
    assert loaded.snapshot.deployments[0].price.input_usd_per_token == Decimal("0.000007")
    assert "cannot read" in _text(load(tmp_path / "config.yaml", {"PRICES": "absent.json"}))
    (tmp_path / "mine.json").write_text(TABLE % '{"input": "8"}')
    other = load(tmp_path / "config.yaml", {"PRICES": "mine.json"})
    assert other.snapshot is not None
    assert other.snapshot.hash != loaded.snapshot.hash


def test_json_documents_include_others(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"include": ["more.json"]}')
    (tmp_path / "more.json").write_text('{"include": "most.yaml"}')
    (tmp_path / "most.yaml").write_text(MORE)
    loaded = load(tmp_path / "config.json", {})
    assert loaded.snapshot is not None, _text(loaded)
    assert [one.model_name for one in loaded.snapshot.deployments] == ["n"]
