"""Where keys, spend and counters are kept: LiteLLM's names for it, and the variables that stand for them.

A setting of the document goes before a variable. ``cache_params`` of a Redis name the Redis that counts as well, as
they do for LiteLLM, where ``router_settings`` name none; and answers are cached in the one that anybody names.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import msgspec

from pointsman.access.budgets import seconds_of
from pointsman.config.check import Report
from pointsman.config.marks import Path
from pointsman.store.settings import RecordSettings, RedisSettings, StoreSettings
from pointsman.wire.secret import Secret

DATABASE = ("postgresql", "postgres", "sqlite")
REDIS = ("redis", "rediss", "unix")
WORDS = {"true": True, "1": True, "yes": True, "on": True}
ADDRESS = frozenset({"url", "host"})
Layer = tuple[Path, Mapping[str, Any]]
"""What somebody says of a Redis, and where an address stands there."""
MAX_PORT = 65_535
MAX_DB = 2**31


def read_stores(
    router: Mapping[str, Any],
    cache: Mapping[str, Any] | None,
    general: Mapping[str, Any],
    environment: Mapping[str, str],
    report: Report,
) -> StoreSettings:
    """The stores of a document; ``cache`` is what its ``cache_params`` say of a Redis, if that is to be used."""
    router_layer: Layer = (("router_settings", "redis_url"), _stated(router))
    cache_layer: Layer = (("litellm_settings", "cache_params", "url"), cache or {})
    environment_layer: Layer = ((), _variables(environment, report))
    ours = _redis((router_layer, cache_layer, environment_layer), report)
    answers = None
    if cache is not None:
        is_same = ADDRESS.isdisjoint(cache) or ADDRESS.isdisjoint(router_layer[1])
        answers = ours if is_same else _redis((cache_layer, router_layer, environment_layer), report)
        if answers is None and not report.has_errors:
            report.warning(
                ("litellm_settings", "cache_params", "type"),
                "no Redis is named: answers are cached in the memory of each process",
                "give a host or a url beside it",
            )
    return StoreSettings(
        records=_records(general, environment, report),
        counters=ours,
        answers=answers,
        event_seconds=_period(general),
        keeps_content=general.get("store_prompts_in_spend_logs", False),
    )


def _period(general: Mapping[str, Any]) -> float | None:
    name = "maximum_spend_logs_retention_period"
    stated: str | None = general.get(name)
    return None if stated is None else float(seconds_of(stated))


def _records(general: Mapping[str, Any], environment: Mapping[str, str], report: Report) -> RecordSettings | None:
    stated: Secret | None = general.get("database_url")
    path: Path = () if stated is None else ("general_settings", "database_url")
    url = environment.get("DATABASE_URL", "").strip() if stated is None else stated.reveal()
    if not url:
        return None
    if not _is_address(url, DATABASE):
        what = "must be an address such as postgresql://user:password@host/database or sqlite:////path"
        if stated is None:
            report.warning((), "the environment variable DATABASE_URL is not used: it " + what)
        else:
            report.error(path, what)
        return None
    settings = RecordSettings(url=Secret(url))
    connections = general.get("database_connection_pool_limit", settings.connections)
    return msgspec.structs.replace(settings, connections=connections)


def _stated(router: Mapping[str, Any]) -> dict[str, Any]:
    return {name.removeprefix("redis_"): value for name, value in router.items() if name.startswith("redis_")}


def _redis(layers: Sequence[Layer], report: Report) -> RedisSettings | None:
    """The address is that of the first who names one; what that one leaves out may come from the others."""
    path, chosen = next((one for one in layers if not ADDRESS.isdisjoint(one[1])), ((), {}))
    url: Secret | None = chosen.get("url")
    if url is not None and not _is_address(url.reveal(), REDIS):
        what = "must be an address such as redis://:password@host:6379/0"
        if path:
            report.error(path, what)
        else:
            report.warning((), "the environment variable REDIS_URL is not used: it " + what)
        return None
    if not chosen:
        return None
    found: dict[str, Any] = {}
    for _, layer in reversed(layers):
        found |= {name: value for name, value in layer.items() if name not in ADDRESS or layer is chosen}
    names = {"ssl": "is_tls"}
    return RedisSettings(**{names.get(name, name): value for name, value in found.items()})


def _variables(environment: Mapping[str, str], report: Report) -> dict[str, Any]:
    """What the environment says of a Redis."""
    texts = {name: environment.get(f"REDIS_{name.upper()}", "").strip() for name in ("host", "url", "username")}
    found: dict[str, Any] = {name: text for name, text in texts.items() if text}
    if "url" in found:
        found["url"] = Secret(found["url"])
    if password := environment.get("REDIS_PASSWORD", ""):
        found["password"] = Secret(password)
    if environment.get("REDIS_SSL", "").strip().lower() in WORDS:
        found["ssl"] = True
    for name, most in (("port", MAX_PORT), ("db", MAX_DB)):
        text = environment.get(f"REDIS_{name.upper()}", "").strip()
        if text.isascii() and text.isdigit() and int(text) <= most:
            found[name] = int(text)
        elif text:
            report.warning((), f"the environment variable REDIS_{name.upper()} is not used: it holds no number")
    return found


def _is_address(url: str, schemes: tuple[str, ...]) -> bool:
    try:
        parts = urlsplit(url)
        is_usable = parts.scheme in schemes and parts.port != 0 and bool(parts.netloc or parts.path)
    except ValueError:
        return False
    return is_usable
