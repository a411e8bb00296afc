"""LiteLLM's keys into the settings of our packages; the only place that knows both names.

Each package owns its settings struct; this module fills them. What a key may hold is in ``grammar.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import msgspec

from pointsman.access.settings import AUTH_GRACE, AccessSettings
from pointsman.batches.settings import BatchSettings
from pointsman.config.batches import read_batches
from pointsman.config.catalogue import Catalogue
from pointsman.config.check import Report, read_section
from pointsman.config.discovery import discovered
from pointsman.config.document import Document
from pointsman.config.entries import CREDENTIAL, DEFAULTS
from pointsman.config.files import read_files
from pointsman.config.grammar import (
    CACHE,
    CALL_TYPES,
    GENERAL,
    LITELLM,
    POINTSMAN,
    ROUTER,
    TOP,
)
from pointsman.config.learned import check_routed, read_routed
from pointsman.config.marks import Path
from pointsman.config.models import read_models
from pointsman.config.routing import Sections, misspelt_strategy, read_routing
from pointsman.config.stores import read_stores
from pointsman.config.tables import Section
from pointsman.config.tokens import read_tokens
from pointsman.pipeline.settings import DEFAULT_MAX_BODY_BYTES, CacheSettings, ServingSettings
from pointsman.providers.base import Deployment, KnownModels, Vendor
from pointsman.routing.settings import RoutingSettings
from pointsman.store.settings import StoreSettings
from pointsman.upstream.settings import Proxies, Timeouts, UpstreamSettings
from pointsman.wire.secret import Secret

if TYPE_CHECKING:
    from pointsman.a2a.settings import A2aSettings
    from pointsman.mcp.settings import McpSettings

AUTOMATIC_KEY = "auto"
CACHE_PATH: Path = (LITELLM.name, "cache_params")
_MIB = 1024 * 1024
_IN_MEMORY, _SHARED = "local", "redis"
_REDIS = frozenset({"host", "port", "url", "username", "password", "db", "ssl"})
_KEY_VARIABLES = ("POINTSMAN_MASTER_KEY", "LITELLM_MASTER_KEY")


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """A document in our own words."""

    deployments: tuple[Deployment, ...]
    access: AccessSettings
    routing: RoutingSettings
    upstream: UpstreamSettings
    serving: ServingSettings
    stores: StoreSettings
    is_master_key_automatic: bool
    """Whether the gateway makes a master key and keeps it."""
    has_canary_check: bool
    mcp: McpSettings | None
    """``None``: nothing is said of it, and nothing of it is loaded."""
    a2a: A2aSettings | None
    """The same."""
    batches: BatchSettings


def translate(document: Document, vendors: dict[str, Vendor], known: KnownModels, report: Report) -> Settings:
    """Check and translate a whole document; what is wrong goes to the report and counts as unset."""
    top = read_section(document.tree, TOP, (), report).values
    sections = {
        section.name: read_section(top.get(section.name), section, (section.name,), report).values
        for section in (ROUTER, LITELLM, GENERAL, POINTSMAN)
    }
    router, litellm, general = (sections[section.name] for section in (ROUTER, LITELLM, GENERAL))
    _note_unhonoured(sections, report)
    catalogue = Catalogue(
        vendors=vendors,
        models=known,
        environment=document.environment,
        credentials=_credentials(top.get("credential_list", []), report),
        from_environment=document.from_environment,
        may_ask_azure_machine=litellm.get("enable_azure_ad_token_refresh", False),
    )
    deployments = _deployments(top, sections, catalogue, report)
    # Whoever reads that a deployment is left out need not read it again wherever its group is named.
    names = _declared(top) | {name for one in deployments for name in (one.model_name, one.id)}
    routed, places = read_routed(top, router, deployments, document, known, report)
    routing = read_routing(sections, names, routed, report)
    cache = _cache_params(litellm, report)
    is_shared = cache is not None and cache.get("type") == _SHARED
    shared = {key: cache[key] for key in cache if key in _REDIS} if cache is not None and is_shared else None
    master_key, is_automatic = _master_key(general, document.environment, report)
    return Settings(
        deployments=tuple(deployments),
        access=AccessSettings(
            master_key=master_key,
            key_header=general.get("litellm_key_header_name"),
            is_metrics_public=not litellm.get("require_auth_for_metrics_endpoint", True),
            auth_grace=sections[POINTSMAN.name].get("auth_grace", AUTH_GRACE),
            master_budget=litellm.get("max_budget"),
            master_budget_duration=litellm.get("budget_duration"),
            tokens=read_tokens(general, document.environment, report, has_key=is_automatic or master_key is not None),
        ),
        routing=check_routed(deployments, routing, known, places, report),
        upstream=_upstream(router, litellm, document.environment, report),
        serving=_serving(sections, cache, report),
        stores=msgspec.structs.replace(
            read_stores(router, shared, general, document.environment, report), files=read_files(top, report)
        ),
        is_master_key_automatic=is_automatic,
        has_canary_check=sections[POINTSMAN.name].get("canary_check", False),
        mcp=_mcp(top, litellm, document.environment, report),
        a2a=_a2a(top, document.environment, report),
        batches=read_batches(top, report),
    )


def _mcp(
    top: Mapping[str, Any], litellm: Mapping[str, Any], environment: Mapping[str, str], report: Report
) -> McpSettings | None:
    if not {"mcp", "mcp_servers"} & top.keys() and "MCP_GATEWAY_ENABLED" not in environment:
        return None
    from pointsman.config.mcp import read_mcp  # noqa: PLC0415  the settings of MCP, which few need

    return read_mcp(top, litellm.get("mcp_aliases", {}), environment, report)


def _a2a(top: Mapping[str, Any], environment: Mapping[str, str], report: Report) -> A2aSettings | None:
    if not {"a2a", "agents", "agent_list"} & top.keys() and "A2A_GATEWAY_ENABLED" not in environment:
        return None
    from pointsman.config.a2a import read_a2a  # noqa: PLC0415  the settings of A2A, which few need

    return read_a2a(top, environment, report)


def _deployments(top: Mapping[str, Any], sections: Sections, catalogue: Catalogue, report: Report) -> list[Deployment]:
    entries = top.get("model_list", [])
    path: Path = (ROUTER.name, DEFAULTS.name)
    defaults = read_section(sections[ROUTER.name].get(DEFAULTS.name), DEFAULTS, path, report)
    drops = sections[LITELLM.name].get("drop_params", False)
    defaults = msgspec.structs.replace(defaults, values={"drop_params": drops} | defaults.values)
    deployments = read_models(entries, catalogue, report, defaults)
    is_wanted = sections[POINTSMAN.name].get("discover_providers") or sections[GENERAL.name].get(
        "infer_model_from_keys"
    )
    if is_wanted:
        # A declared name stays the document's own even when its deployment was left out.
        found = discovered(catalogue, _declared(top), report)
        deployments += [msgspec.structs.replace(one, drops_params=drops) for one in found]
    if not deployments:
        hint = "add model_list entries, or pointsman_settings: {discover_providers: true}"
        report.warning(("model_list",), "gives no model that can be served", hint)
    return deployments


def _declared(top: Mapping[str, Any]) -> set[str]:
    """The model names of the document."""
    names = (entry.get("model_name") for entry in top.get("model_list", []) if isinstance(entry, dict))
    return {name for name in names if isinstance(name, str)}


def _credentials(entries: list[Any], report: Report) -> dict[str, tuple[Path, dict[str, Any]]]:
    found: dict[str, tuple[Path, dict[str, Any]]] = {}
    for index, entry in enumerate(entries):
        path: Path = ("credential_list", index)
        values = _credential_entry(entry, path, report)
        if values is None:
            continue
        name = values["credential_name"]
        if name in found:
            report.warning((*path, "credential_name"), "stands twice in credential_list; the last one counts")
        found[name] = ((*path, "credential_values"), values.get("credential_values", {}))
    return found


def _credential_entry(entry: Any, path: Path, report: Report) -> dict[str, Any] | None:
    # Unset variables below credential_values are reported by the entries that use the credential.
    own = (
        {key: value for key, value in entry.items() if key != "credential_values"} if isinstance(entry, dict) else entry
    )
    reading = read_section(own if own is not None else "", CREDENTIAL, path, report)
    if not isinstance(entry, dict):
        return None
    if "credential_name" not in reading.values:
        if reading.is_sound:
            report.error(path, "has no credential_name")
        return None
    values = entry.get("credential_values")
    if values is not None and not isinstance(values, dict):
        report.error((*path, "credential_values"), "must be a mapping")
        return None
    return {**reading.values, "credential_values": values or {}}


def _note_unhonoured(sections: Sections, report: Report) -> None:
    for section in (ROUTER, LITELLM):
        _note_choices(section, sections[section.name], (section.name,), report)


def _note_choices(section: Section, values: Mapping[str, Any], path: Path, report: Report) -> None:
    for key in section.keys:
        value = values.get(key.name) if key.choices else None
        if value is None:
            continue
        others = [one for one in ((value,) if isinstance(value, str) else value) if one not in key.choices]
        if key.name == "routing_strategy" and others and (hint := misspelt_strategy(others[0])):
            report.error((*path, key.name), f"names no strategy: {others[0][:80]!r}", hint)
            continue
        if others:
            what = f"asks for something that this version does not act on ({len(others)} of its entries)"
            report.notice((*path, key.name), what, "acted on: " + ", ".join(key.choices))


def _master_key(
    general: Mapping[str, Any], environment: Mapping[str, str], report: Report
) -> tuple[Secret | None, bool]:
    """The document's key, else the environment's; ``auto`` is what is left when neither names one."""
    stated: Secret | None = general.get("master_key")
    is_automatic = stated is not None and stated.reveal() == AUTOMATIC_KEY
    if stated is not None and not is_automatic:
        return stated, False
    for name in _KEY_VARIABLES:
        key = environment.get(name, "").strip()
        if key == AUTOMATIC_KEY:
            return None, True
        if key and key.isascii() and key.isprintable():
            return Secret(key), False
        if key:
            report.error((), f"the environment variable {name} has characters that cannot be sent in a header")
    return None, is_automatic


def _serving(sections: Sections, cache: Mapping[str, Any] | None, report: Report) -> ServingSettings:
    router, litellm, general, ours = (sections[one.name] for one in (ROUTER, LITELLM, GENERAL, POINTSMAN))
    size = general.get("max_request_size_mb")
    timeout = _request_timeout(router, litellm)
    # One attempt may take as long as it was given, unless the whole request is told not to.
    longest = max(timeout or 0.0, ServingSettings().total_timeout)
    return ServingSettings(
        max_body_bytes=DEFAULT_MAX_BODY_BYTES if size is None else max(1, int(size * _MIB)),
        request_timeout=timeout,
        stream_timeout=router.get("stream_timeout"),
        total_timeout=ours.get("request_deadline", longest),
        drains_on_disconnect=not general.get("cancel_on_disconnect", True),
        min_chars_per_second=ours.get("min_chars_per_second"),
        queue_timeout=general.get("admission_queue_timeout_seconds"),
        max_in_flight=general.get("max_in_flight_requests_per_worker"),
        cache=None if cache is None else _cache(cache, report),
        has_config_header=ours.get("config_header", False),
        allows_mock_testing=general.get("dangerously_allow_mock_testing_request_params", False),
    )


def _cache_params(litellm: Mapping[str, Any], report: Report) -> dict[str, Any] | None:
    """``None``: nothing is cached."""
    if not litellm.get("cache"):
        return None
    return read_section(litellm.get("cache_params"), CACHE, CACHE_PATH, report).values


def _cache(params: Mapping[str, Any], report: Report) -> CacheSettings:
    path = CACHE_PATH
    kind = params.get("type", _IN_MEMORY)
    if kind not in (_IN_MEMORY, _SHARED):
        what = "is not acted on by this version: answers are cached in the memory of each process"
        report.notice((*path, "type"), what)
    _note_choices(CACHE, params, path, report)
    wanted = params.get("supported_call_types")
    stated: dict[str, Any] = {
        "ttl": params.get("default_in_redis_ttl" if kind == _SHARED else "default_in_memory_ttl", params.get("ttl")),
        "is_opt_in": params.get("mode"),
        "namespace": params.get("namespace"),
        "operations": None
        if wanted is None
        else tuple(dict.fromkeys(CALL_TYPES[t] for t in wanted if t in CALL_TYPES)),
    }
    return CacheSettings(**{name: value for name, value in stated.items() if value is not None})


def _request_timeout(router: Mapping[str, Any], litellm: Mapping[str, Any]) -> float | None:
    timeout: float | None = router.get("timeout", litellm.get("request_timeout"))
    return timeout


def _upstream(
    router: Mapping[str, Any], litellm: Mapping[str, Any], environment: Mapping[str, str], report: Report
) -> UpstreamSettings:
    defaults = Timeouts()
    timeout = _request_timeout(router, litellm)
    if timeout is not None:
        defaults = Timeouts(first_byte=timeout, total=max(timeout, defaults.total))
    verify = litellm.get("ssl_verify", True)
    if verify is False:
        report.warning((LITELLM.name, "ssl_verify"), "turns off the check of upstream certificates", "name a CA file")
    ca_file = verify if isinstance(verify, str) else environment.get("SSL_CERT_FILE", "").strip() or None
    return UpstreamSettings(
        timeouts=defaults,
        proxies=_proxies(environment, report),
        ca_file=ca_file,
        verify_tls=verify is not False,
    )


def _proxies(environment: Mapping[str, str], report: Report) -> Proxies:
    every = _proxy("ALL_PROXY", environment, report)
    exceptions = _variable("NO_PROXY", environment)
    return Proxies(
        http=_proxy("HTTP_PROXY", environment, report) or every,
        https=_proxy("HTTPS_PROXY", environment, report) or every,
        no_proxy=tuple(host for host in exceptions.replace(",", " ").split() if host),
    )


def _variable(name: str, environment: Mapping[str, str]) -> str:
    """Curl's order: the lower-case spelling goes first."""
    return (environment.get(name.lower()) or environment.get(name) or "").strip()


def _proxy(name: str, environment: Mapping[str, str], report: Report) -> str | None:
    url = _variable(name, environment)
    if not url:
        return None
    if "://" not in url:
        url = f"http://{url}"
    try:
        parts = urlsplit(url)
        is_usable = parts.scheme.lower() == "http" and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_usable = False
    if not is_usable:
        what = f"the environment variable {name} is not used: it does not hold an address such as http://proxy:3128"
        report.warning((), what)
        return None
    return url
