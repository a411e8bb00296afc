from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from pointsman.config.diff import changes
from pointsman.store.settings import RecordSettings, RedisSettings, StoreSettings
from pointsman.wire.secret import Secret

if TYPE_CHECKING:
    from unit.config.conftest import Build

DEMO = "model_list: [{model_name: m, litellm_params: {model: demo/small}}]\n"
URL = "postgresql://u:canary-pw-1@h/d"
CACHE = "litellm_settings: {cache: true, cache_params: {type: redis, host: cached, port: 7000}}\n"


def router(text: str) -> str:
    return f"router_settings: {{{text}}}\n"


def test_nothing_is_kept_elsewhere_unless_somebody_says_so(build: Build) -> None:
    assert build(DEMO).good.stores == StoreSettings()


def test_the_database_of_the_document_goes_before_that_of_the_environment(build: Build) -> None:
    text = f"general_settings: {{database_url: '{URL}', database_connection_pool_limit: '7'}}\n"
    built = build(DEMO + text, {"DATABASE_URL": "sqlite:///elsewhere"})
    assert built.good.stores.records == RecordSettings(url=Secret(URL), connections=7)
    assert "canary-pw-1" not in built.all()


def test_the_environment_names_the_database_too(build: Build) -> None:
    assert build(DEMO, {"DATABASE_URL": URL}).good.stores.records == RecordSettings(url=Secret(URL))


def test_a_variable_that_is_not_set_leaves_the_database_out_and_is_told(build: Build) -> None:
    built = build(DEMO + "general_settings: {database_url: os.environ/NOWHERE}\n")
    assert built.good.stores.records is None
    assert built.said("warning") == ["general_settings.database_url: the environment variable NOWHERE is not set"]


@pytest.mark.parametrize("url", ["mysql://u:canary-pw-1@h/d", "postgresql:", "canary-pw-1", "postgresql://h:0/d"])
def test_an_address_of_no_database_is_refused_and_not_repeated(build: Build, url: str) -> None:
    built = build(DEMO + f"general_settings: {{database_url: '{url}'}}\n")
    assert built.snapshot is None
    assert "general_settings.database_url" in built.said("error")[0]
    elsewhere = build(DEMO, {"DATABASE_URL": url})
    assert elsewhere.good.stores.records is None
    assert "DATABASE_URL is not used" in elsewhere.said("warning")[0]
    assert "canary-pw-1" not in built.all() + elsewhere.all()


@pytest.mark.parametrize(
    ("text", "environ", "found"),
    [
        (router("redis_host: h"), {}, RedisSettings(host="h")),
        (router("redis_host: h"), {"REDIS_URL": "redis://other", "REDIS_PORT": "1"}, RedisSettings(host="h", port=1)),
        (
            router(
                "redis_host: h, redis_port: '7', redis_password: p, redis_username: u, redis_db: 2, redis_ssl: true"
            ),
            {"REDIS_PORT": "1"},
            RedisSettings(host="h", port=7, username="u", password=Secret("p"), db=2, is_tls=True),
        ),
        (router("redis_url: 'rediss://h:1/2'"), {}, RedisSettings(url=Secret("rediss://h:1/2"))),
        ("", {"REDIS_HOST": "e", "REDIS_PASSWORD": "p"}, RedisSettings(host="e", password=Secret("p"))),
        ("", {"REDIS_URL": "redis://e", "REDIS_SSL": "true"}, RedisSettings(url=Secret("redis://e"), is_tls=True)),
        (CACHE, {}, RedisSettings(host="cached", port=7000)),
        (CACHE, {"REDIS_HOST": "e"}, RedisSettings(host="cached", port=7000)),
        (CACHE + router("redis_host: h"), {}, RedisSettings(host="h", port=7000)),
        (CACHE.replace("redis", "s3"), {}, None),
        (CACHE.replace("cache: true", "cache: false"), {}, None),
        (router("redis_password: p"), {}, None),
    ],
)
def test_the_redis_is_that_of_the_router_of_the_cache_or_of_the_environment(
    build: Build, text: str, environ: dict[str, str], found: RedisSettings | None
) -> None:
    assert build(DEMO + text, environ).good.stores.counters == found


@pytest.mark.requirement("cache.redis")
@pytest.mark.parametrize(
    ("text", "environ", "found"),
    [
        (CACHE, {}, RedisSettings(host="cached", port=7000)),
        (CACHE, {"REDIS_HOST": "e", "REDIS_DB": "3"}, RedisSettings(host="cached", port=7000, db=3)),
        (
            CACHE + router("redis_host: h, redis_password: p"),
            {},
            RedisSettings(host="cached", port=7000, password=Secret("p")),
        ),
        (CACHE.replace("host: cached, ", "") + router("redis_host: h"), {}, RedisSettings(host="h", port=7000)),
        (CACHE.replace(", host: cached, port: 7000", ""), {"REDIS_HOST": "e"}, RedisSettings(host="e")),
        (CACHE.replace("redis", "local"), {"REDIS_HOST": "e"}, None),
        (CACHE.replace("cache: true", "cache: false"), {"REDIS_HOST": "e"}, None),
    ],
)
def test_answers_are_in_the_redis_of_the_cache_or_in_the_one_that_there_is(
    build: Build, text: str, environ: dict[str, str], found: RedisSettings | None
) -> None:
    built = build(DEMO + text, environ)
    assert built.good.stores.answers == found
    assert built.problems == ()


def test_a_cache_in_a_redis_that_nobody_names_is_in_memory_and_that_is_told(build: Build) -> None:
    built = build(DEMO + CACHE.replace("host: cached, ", ""))
    assert built.good.stores == StoreSettings()
    assert built.good.serving.cache is not None
    assert "no Redis is named" in built.said("warning")[0]


def test_an_address_of_no_redis_is_refused(build: Build) -> None:
    built = build(DEMO + router("redis_url: 'http://:canary-pw-1@h'"))
    assert built.snapshot is None
    assert built.said("error")[0].startswith("router_settings.redis_url: must be an address")
    elsewhere = build(DEMO, {"REDIS_URL": "canary-pw-1", "REDIS_PORT": "x"})
    assert elsewhere.good.stores.counters is None
    assert ["REDIS_PORT" in line or "REDIS_URL" in line for line in elsewhere.said("warning")] == [True, True]
    assert "canary-pw-1" not in built.all() + elsewhere.all()
    shared = build(DEMO + CACHE.replace("host: cached", "url: 'http://:canary-pw-1@h'"))
    assert len(shared.said("error")) == 1
    assert shared.said("error")[0].startswith("litellm_settings.cache_params.url: must be an address")
    assert shared.said("warning") == []


def test_how_long_and_how_much_of_the_spend_log_is_kept(build: Build) -> None:
    text = "general_settings: {maximum_spend_logs_retention_period: 7d, store_prompts_in_spend_logs: true}\n"
    stores = build(DEMO + text).good.stores
    assert (stores.event_seconds, stores.keeps_content) == (7 * 86_400.0, True)
    assert build(DEMO + "general_settings: {maximum_spend_logs_retention_period: soon}\n").snapshot is None


def test_the_master_may_have_a_budget(build: Build) -> None:
    access = build(DEMO + "litellm_settings: {max_budget: 2.5, budget_duration: 30d}\n").good.access
    assert (access.master_budget, access.master_budget_duration) == (Decimal("2.5"), "30d")
    assert build(DEMO + "pointsman_settings: {auth_grace: 5}\n").good.access.auth_grace == 5


def test_another_store_is_another_config_and_told_without_its_password(build: Build) -> None:
    one, other = (build(DEMO, {"DATABASE_URL": url}).good for url in (URL, URL + "2"))
    assert one.hash != other.hash
    told = [str(change) for change in changes(one, other)]
    assert [line.split(":")[0] for line in told] == ["~ stores.records.url"]
    assert "canary" not in str(told)
