"""All fake providers, and a gateway's config for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from system.fakes import anthropic, cohere, converse, gemini, ollama, openai, responses, sound, voyage
from system.upstream.script import Answer, Received

CHATS: Mapping[str, Callable[[Received], Answer]] = {
    "openai": openai.answer,
    "deepseek": openai.answer_showing,
    "responses": responses.answer,
    "anthropic": anthropic.answer,
    "gemini": gemini.answer,
    "converse": converse.answer,
    "cohere": cohere.answer,
    "ollama": ollama.answer,
}
"""Those that converse."""
FAKES = {
    **CHATS,
    "voyage": voyage.answer,
    "jina": voyage.answer_jina,
    "deepgram": sound.answer_deepgram,
    "elevenlabs": sound.answer_elevenlabs,
}

_CONFIG = """
model_list:
  - model_name: via-openai
    litellm_params: &openai_params {{model: openai/gpt-4.1, api_base: "http://{openai}/v1", api_key: {openai_key}}}
    model_info: {{mode: chat}}
  - model_name: via-deepseek
    litellm_params: &deepseek
      {{model: deepseek/deepseek-reasoner, api_base: "http://{deepseek}/v1", api_key: {openai_key}}}
  - model_name: via-responses
    litellm_params: {{model: openai/gpt-5, api_base: "http://{responses}/v1", api_key: {openai_key}}}
    model_info: {{mode: responses}}
  - model_name: via-anthropic
    litellm_params: &anthropic
      {{model: anthropic/claude-sonnet-4-5, api_base: "http://{anthropic}", api_key: {anthropic_key}}}
  - model_name: via-gemini
    litellm_params: &gemini {{model: gemini/{gemini_model}, api_base: "http://{gemini}", api_key: {gemini_key}}}
  - model_name: via-converse
    litellm_params: &converse
      model: bedrock/{converse_model}
      aws_bedrock_runtime_endpoint: "http://{converse}"
      aws_access_key_id: {aws_key}
      aws_secret_access_key: {aws_secret}
      aws_region_name: {aws_region}
  - model_name: via-cohere
    litellm_params: &cohere {{model: cohere/{cohere_model}, api_base: "http://{cohere}", api_key: {cohere_key}}}
  - model_name: via-ollama
    litellm_params: &ollama {{model: ollama_chat/qwen3, api_base: "http://{ollama}"}}

  - model_name: drops-all
    litellm_params: {{<<: *anthropic, drop_params: true}}
  - model_name: drops-seed
    litellm_params: {{<<: *anthropic, additional_drop_params: [seed]}}
  - model_name: allows-seed
    litellm_params: {{<<: *anthropic, allowed_openai_params: [seed]}}
  - model_name: adds-top-k
    litellm_params: {{<<: *openai_params, extra_body: {{top_k: 3}}}}
    model_info: {{mode: chat}}
  - model_name: adds-translated
    litellm_params: {{<<: *anthropic, extra_body: {{top_k: 3}}, extra_headers: {{x-house: canary}}}}
  - model_name: merges-deepseek
    litellm_params: {{<<: *deepseek, merge_reasoning_content_in_choices: true}}
  - model_name: merges-anthropic
    litellm_params: {{<<: *anthropic, merge_reasoning_content_in_choices: true}}
  - model_name: shares-credential
    litellm_params: {{model: anthropic/claude-sonnet-4-5, litellm_credential_name: house-claude}}
  - model_name: mixed
    litellm_params: {{<<: *anthropic, order: 1}}
  - model_name: mixed
    litellm_params: {{<<: *openai_params, order: 2}}
    model_info: {{mode: chat}}
  - model_name: shaky
    litellm_params: {{<<: *anthropic, model: anthropic/claude-shaky}}

  - model_name: embeds-gemini
    litellm_params: {{<<: *gemini, model: gemini/gemini-embedding-001}}
  - model_name: embeds-converse
    litellm_params: {{<<: *converse, model: bedrock/amazon.titan-embed-text-v2:0}}
  - model_name: embeds-cohere
    litellm_params: {{<<: *cohere, model: cohere/embed-v4.0}}
  - model_name: embeds-ollama
    litellm_params: {{<<: *ollama, model: ollama/nomic-embed-text}}
  - model_name: embeds-voyage
    litellm_params: &voyage {{model: voyage/voyage-3.5, api_base: "http://{voyage}/v1", api_key: {voyage_key}}}
  - model_name: embeds-jina
    litellm_params: &jina {{model: jina_ai/jina-embeddings-v4, api_base: "http://{jina}/v1", api_key: {voyage_key}}}
  - model_name: ranks-cohere
    litellm_params: {{<<: *cohere, model: cohere/rerank-v3.5}}
  - model_name: ranks-voyage
    litellm_params: {{<<: *voyage, model: voyage/rerank-2.5}}
  - model_name: ranks-jina
    litellm_params: {{<<: *jina, model: jina_ai/jina-reranker-v3}}
  - model_name: hears-deepgram
    litellm_params: &deepgram {{model: deepgram/nova-3, api_base: "http://{deepgram}/v1", api_key: {deepgram_key}}}
  - model_name: hears-elevenlabs
    litellm_params: &eleven {{model: elevenlabs/scribe_v1, api_base: "http://{elevenlabs}/v1", api_key: {eleven_key}}}
  - model_name: speaks-deepgram
    litellm_params: {{<<: *deepgram, model: deepgram/aura-2}}
  - model_name: speaks-elevenlabs
    litellm_params: {{<<: *eleven, model: elevenlabs/eleven_multilingual_v2}}
credential_list:
  - credential_name: house-claude
    credential_values: {{api_key: {anthropic_key}, api_base: "http://{anthropic}"}}
router_settings:
  num_retries: 0
  disable_cooldowns: true
  fallbacks: [{{shaky: [via-openai]}}]
general_settings: {{master_key: {master}}}
"""


def providers_config(addresses: Mapping[str, str], master: str) -> str:
    """A config with a deployment of each of them, and more of some with other settings."""
    return _CONFIG.format(
        **addresses,
        master=master,
        openai_key=openai.KEY,
        anthropic_key=anthropic.KEY,
        gemini_key=gemini.KEY,
        gemini_model=gemini.MODEL,
        cohere_key=cohere.KEY,
        cohere_model=cohere.MODEL,
        converse_model=converse.MODEL,
        voyage_key=voyage.KEY,
        deepgram_key=sound.DEEPGRAM_KEY,
        eleven_key=sound.ELEVENLABS_KEY,
        aws_key=converse.ACCESS_KEY,
        aws_secret=converse.SECRET_KEY,
        aws_region=converse.REGION,
    )
