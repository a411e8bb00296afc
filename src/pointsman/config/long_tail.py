"""Entries of providers that LiteLLM serves: what of an entry is ours, and what LiteLLM is given.

Routing, limits, prices and timeouts are ours. The fields of requests are defaults of the body, as everywhere. All else
goes to LiteLLM as it stands, but for its own routing and its callbacks.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from pointsman.config.check import is_secret_name
from pointsman.config.entries import CLOUDS, PARAMS
from pointsman.config.marks import Path
from pointsman.config.pending import PARAM_FAMILIES
from pointsman.config.tables import Section, pending_rows
from pointsman.providers.base import Vendor
from pointsman.providers.long_tail import EXTRA, LONG_TAIL
from pointsman.upstream.litellm import BASE_URL
from pointsman.wire.litellm import FIELDS
from pointsman.wire.secret import Secret

_PROVIDERS_OWN: Final = frozenset(
    {
        *("bos_token", "eos_token", "roles", "hf_model_name", "initial_prompt_value", "final_prompt_value"),
        *("supports_system_message", "bucket_name"),
    }
)
"""Of what we do not act on, what says how a model is called."""
_FAMILIES_OF_PROVIDERS: Final = frozenset({"aws_", "azure_", "bedrock_", "gcs_", "s3_", "vertex_", "watsonx_"})
_CONTROLS: Final = (
    *("callbacks", "input_callback", "success_callback", "failure_callback", "service_callback", "logger_fn"),
    *("client", "shared_session", "use_client", "model_list", "context_window_fallback_dict", "metadata"),
)
"""What LiteLLM would do beside calling the provider."""
_OF_CLOUDS: Final = frozenset(key.name for key in CLOUDS)

SECTION: Final = Section(
    name=PARAMS.name,
    about=PARAMS.about,
    unknown="keep",
    keys=(
        *(key for key in PARAMS.keys if key.name not in _OF_CLOUDS and key.name not in _PROVIDERS_OWN),
        *pending_rows(_CONTROLS),
    ),
    pending_prefixes=tuple(family for family in PARAM_FAMILIES if family not in _FAMILIES_OF_PROVIDERS),
)
"""``litellm_params`` of such an entry."""


def is_of_extra(provider: str) -> bool:
    """Whether LiteLLM serves a provider that is none of ours."""
    return provider == EXTRA or provider in LONG_TAIL


def without_extra(provider: str, model: str) -> tuple[str, str]:
    """Provider and model behind ``litellm/``."""
    if provider != EXTRA:
        return provider, model
    name, _, rest = model.partition("/")
    return name, rest


def vendor_of(provider: str) -> Vendor:
    """The provider, as routing and prices know it."""
    return Vendor(name=provider, base_url=BASE_URL, needs_key=False)


def address_of(params: Mapping[str, Any]) -> str:
    """What stands for the address of a deployment: a URL with the host of its ``api_base``, if it has one."""
    given = _api_base(params)
    return BASE_URL if given is None else f"{BASE_URL}//{urlsplit(given).netloc}"


def defaults_of(extra: Mapping[str, Any]) -> dict[str, Any]:
    """Of what an entry says besides, the fields of requests."""
    return {name: value for name, value in extra.items() if name in FIELDS and value is not None}


def arguments_of(
    params: Mapping[str, Any], extra: Mapping[str, Any], path: Path, from_environment: Collection[Path]
) -> dict[str, Any]:
    """What LiteLLM is given with each call, besides the key and the headers; secrets as such."""
    own = {
        name: _concealed(value, (*path, name), from_environment, is_secret=False)
        for name, value in extra.items()
        if name not in FIELDS and value is not None and SECTION.find(name) is None
    }
    named = {"api_base": _api_base(params), "extra_body": params.get("extra_body")}
    return own | {name: value for name, value in named.items() if value is not None}


def _api_base(params: Mapping[str, Any]) -> str | None:
    url: str | None = params.get("api_base", params.get("base_url"))
    return url


def _concealed(value: Any, path: Path, from_environment: Collection[Path], *, is_secret: bool) -> Any:
    """The same, with a secret in the place of each text that its name, or where it came from, says is one."""
    is_secret = is_secret or path in from_environment or is_secret_name(str(path[-1]))
    if isinstance(value, dict):
        return {
            key: _concealed(item, (*path, key), from_environment, is_secret=is_secret) for key, item in value.items()
        }
    if isinstance(value, list):
        return [_concealed(item, (*path, at), from_environment, is_secret=is_secret) for at, item in enumerate(value)]
    return Secret(value) if is_secret and isinstance(value, str) else value
