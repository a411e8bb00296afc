"""LiteLLM's keys into the settings of our packages; the only place that knows both names.

Each package owns its settings struct; this module fills them. What a key may hold is in ``grammar.py``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

import msgspec

from pointsman.access.settings import AccessSettings
from pointsman.config.catalogue import Catalogue
from pointsman.config.check import Report, nearest, read_section
from pointsman.config.discovery import discovered
from pointsman.config.document import Document
from pointsman.config.grammar import ALIAS, CREDENTIAL, GENERAL, LITELLM, POINTSMAN, ROUTER, TOP, Section
from pointsman.config.marks import Path
from pointsman.config.models import read_models
from pointsman.pipeline.settings import ServingSettings
from pointsman.providers.base import Deployment, ModelFacts, Vendor
from pointsman.routing.settings import Alias, RoutingSettings
from pointsman.upstream.settings import Proxies, Timeouts, UpstreamSettings
from pointsman.wire.secret import Secret

AUTOMATIC_KEY = "auto"
_MIB = 1024 * 1024
_KEY_VARIABLES = ("POINTSMAN_MASTER_KEY", "LITELLM_MASTER_KEY")


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """A document in our own words."""

    deployments: tuple[Deployment, ...]
    access: AccessSettings
    routing: RoutingSettings
    upstream: UpstreamSettings
    serving: ServingSettings
    is_master_key_automatic: bool
    """Whether the gateway makes a master key and keeps it."""


def translate(document: Document, vendors: dict[str, Vendor], facts: dict[str, ModelFacts], report: Report) -> Settings:
    """Check and translate a whole document; what is wrong goes to the report and counts as unset."""
    top = read_section(document.tree, TOP, (), report).values
    sections = {
        section.name: read_section(top.get(section.name), section, (section.name,), report).values
        for section in (ROUTER, LITELLM, GENERAL, POINTSMAN)
    }
    router, litellm, general = (sections[section.name] for section in (ROUTER, LITELLM, GENERAL))
    _note_unhonoured_choices(sections, report)
    catalogue = Catalogue(
        vendors=vendors,
        facts=facts,
        environment=document.environment,
        credentials=_credentials(top.get("credential_list", []), report),
        from_environment=document.from_environment,
    )
    deployments = _deployments(top, sections, catalogue, report)
    master_key, is_automatic = _master_key(general, document.environment, report)
    return Settings(
        deployments=tuple(deployments),
        access=AccessSettings(
            master_key=master_key,
            key_header=general.get("litellm_key_header_name"),
            is_metrics_public=not litellm.get("require_auth_for_metrics_endpoint", True),
        ),
        routing=_routing(router, general, deployments, report),
        upstream=_upstream(router, litellm, document.environment, report),
        serving=_serving(router, litellm, general),
        is_master_key_automatic=is_automatic,
    )


def _deployments(
    top: Mapping[str, Any], sections: Mapping[str, Mapping[str, Any]], catalogue: Catalogue, report: Report
) -> list[Deployment]:
    entries = top.get("model_list", [])
    deployments = read_models(entries, catalogue, report)
    is_wanted = sections[POINTSMAN.name].get("discover_providers") or sections[GENERAL.name].get(
        "infer_model_from_keys"
    )
    if is_wanted:
        # A declared name stays the document's own even when its deployment was left out.
        names = [entry.get("model_name") for entry in entries if isinstance(entry, dict)]
        declared = {name for name in names if isinstance(name, str)}
        deployments += discovered(catalogue, declared, report)
    if not deployments:
        hint = "add model_list entries, or pointsman_settings: {discover_providers: true}"
        report.warning(("model_list",), "gives no model that can be served", hint)
    return deployments


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


def _note_unhonoured_choices(sections: Mapping[str, Mapping[str, Any]], report: Report) -> None:
    tables: tuple[Section, ...] = (ROUTER, LITELLM)
    for section in tables:
        for key in section.keys:
            value = sections[section.name].get(key.name) if key.choices else None
            if value is None:
                continue
            others = [one for one in ((value,) if isinstance(value, str) else value) if one not in key.choices]
            if others:
                what = f"asks for something that this version does not act on ({len(others)} of its entries)"
                path = (section.name, key.name)
                report.notice(path, what, "acted on: " + ", ".join(key.choices))
    if sections[LITELLM.name].get("drop_params"):
        what = "has no effect on requests that are passed through, which is all of them in this version"
        report.notice((LITELLM.name, "drop_params"), what)


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


def _routing(
    router: Mapping[str, Any], general: Mapping[str, Any], deployments: Iterable[Deployment], report: Report
) -> RoutingSettings:
    names = {deployment.model_name for deployment in deployments}
    aliases: dict[str, Alias] = {}
    for name, target in router.get("model_group_alias", {}).items():
        path: Path = (ROUTER.name, "model_group_alias", name)
        alias = _alias(target, path, report)
        if alias is None:
            continue
        aliases[name] = alias
        if not _is_served(alias.model, names):
            meant = nearest(alias.model, names)
            report.warning(path, "is an alias of a model that is not served", f"did you mean {meant}?" if meant else "")
    default = general.get("completion_model")
    if default is not None and default not in aliases and not _is_served(default, names):
        report.warning((GENERAL.name, "completion_model"), "is a model that is not served")
    return RoutingSettings(aliases=aliases, default_model=default)


def _alias(target: Any, path: Path, report: Report) -> Alias | None:
    if isinstance(target, str) and target.strip():
        return Alias(model=target)
    if not isinstance(target, dict):
        report.error(path, "must be the name of a model group, or a mapping with model and hidden")
        return None
    reading = read_section(target, ALIAS, path, report)
    if "model" in reading.values:
        return Alias(model=reading.values["model"], is_hidden=reading.values.get("hidden", False))
    if reading.is_sound:
        report.error(path, "has no model")
    return None


def _is_served(model: str, names: Iterable[str]) -> bool:
    for name in names:
        head, star, tail = name.partition("*")
        if model == name:
            return True
        if star and len(model) >= len(head) + len(tail) and model.startswith(head) and model.endswith(tail):
            return True
    return False


def _serving(router: Mapping[str, Any], litellm: Mapping[str, Any], general: Mapping[str, Any]) -> ServingSettings:
    size = general.get("max_request_size_mb")
    limit = {} if size is None else {"max_body_bytes": max(1, int(size * _MIB))}
    return ServingSettings(
        request_timeout=_request_timeout(router, litellm),
        stream_timeout=router.get("stream_timeout"),
        **limit,
    )


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
