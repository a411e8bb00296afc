from __future__ import annotations

import pytest
from unit.config.conftest import Build

from pointsman.config.diff import Change, changes
from pointsman.config.snapshot import Snapshot

SECRET = "sk-hidden"


def entry(name: str = "a", params: str = "", info: str = "", key: str = SECRET) -> str:
    return (
        f"  - model_name: {name}\n"
        f"    litellm_params: {{model: openai/gpt-4o, api_key: {key}{params}}}\n"
        f"    model_info: {{{info}}}\n"
    )


def models(*entries: str) -> str:
    return "model_list:\n" + "".join(entries)


@pytest.mark.requirement("config.diff")
def test_equal_snapshots_have_no_changes(build: Build) -> None:
    text = models(entry())
    assert changes(build(text).good, build(text).good) == ()


@pytest.mark.requirement("config.diff")
@pytest.mark.parametrize(
    ("old", "new", "lines"),
    [
        (
            models(entry("a", info="id: one")),
            models(entry("a", info="id: one"), entry("b", info="id: two")),
            ["+ deployments[b/two]: openai/gpt-4o at https://api.openai.com/v1"],
        ),
        (
            models(entry("a", info="id: one"), entry("b", info="id: two")),
            models(entry("a", info="id: one")),
            ["- deployments[b/two]: openai/gpt-4o at https://api.openai.com/v1"],
        ),
        (
            models(entry("a", ", rpm: 10, temperature: 0", "id: one")),
            models(entry("a", ", rpm: 20, temperature: 0.5, tags: [x, y]", "id: one")),
            [
                "~ deployments[a/one].defaults.temperature: 0 to 0.5",
                "~ deployments[a/one].rpm: 10 to 20",
                "~ deployments[a/one].tags: none to x, y",
            ],
        ),
        (
            models(entry("a", ", api_base: 'https://one.example/v1'", "id: one")),
            models(entry("a", ", api_base: 'https://two.example/v1'", "id: one")),
            ["~ deployments[a/one].base_url: https://one.example/v1 to https://two.example/v1"],
        ),
        (
            models(entry("a", info="id: one"), entry("b", info="id: two")),
            models(entry("b", info="id: two"), entry("a", info="id: one")),
            ["~ deployments: their order"],
        ),
        (
            models(entry()) + "router_settings: {num_retries: 2, fallbacks: [{a: [b]}], model_group_alias: {x: a}}\n",
            models(entry()) + "router_settings: {num_retries: 3, fallbacks: [{a: [c]}], model_group_alias: {y: a}}\n",
            [
                "- routing.aliases.x: model a",
                "+ routing.aliases.y: model a",
                "~ routing.num_retries: 2 to 3",
                "~ routing.fallbacks.a: b to c",
            ],
        ),
        (
            models(entry()) + "general_settings: {master_key: sk-one}\n",
            models(entry()) + "general_settings: {master_key: auto}\n",
            ["~ access.master_key", "~ access.master_key: false to true"],
        ),
        (
            models(entry()) + "pointsman_settings: {canary_check: true}\n",
            models(entry()),
            ["~ canary_check: true to false"],
        ),
        (
            models(entry()),
            models(entry()) + "litellm_settings: {request_timeout: 30, cache: true}\n",
            [
                "~ upstream.timeouts.first_byte: 600.0 to 30.0",
                "~ serving.request_timeout: unset to 30.0",
                "~ serving.cache: unset to set",
            ],
        ),
    ],
)
def test_each_change_is_a_line(build: Build, old: str, new: str, lines: list[str]) -> None:
    assert [str(change) for change in changes(build(old).good, build(new).good)] == lines


@pytest.mark.requirement("config.diff")
def test_a_deployment_whose_id_is_made_of_what_it_is_is_changed_and_not_replaced(build: Build) -> None:
    old, new = models(entry("a"), entry("a", key="sk-2")), models(entry("a"), entry("a", key="sk-3"))
    assert [change.what for change in changes(build(old).good, build(new).good)] == ["changed"]


@pytest.mark.requirement("config.diff.no-secrets")
@pytest.mark.parametrize(
    ("params", "other"),
    [
        ("", ""),
        (", extra_headers: {X-Key: sk-hidden}", ", extra_headers: {X-Key: sk-hidden2, Y: sk-hidden}"),
        (", extra_body: {a: sk-hidden}", ", extra_body: {a: sk-hidden2, b: sk-hidden}"),
        (", extra_body: {a: {b: [sk-hidden]}}", ", extra_body: {a: {b: [sk-hidden2]}}"),
        (", extra_body: {a: sk-hidden}", ", extra_body: {b: 1}"),
    ],
)
def test_no_change_tells_a_credential(build: Build, params: str, other: str) -> None:
    old = build(models(entry("a", params, "id: one")) + "general_settings: {master_key: sk-hidden-m}\n").good
    new = build(
        models(entry("a", other, "id: one", "sk-hidden2"))
        + "general_settings: {master_key: sk-hidden-n}\nlitellm_settings: {cache: true}\n",
        {"HTTPS_PROXY": "http://user:sk-hidden@proxy:3128/?sk-hidden"},
    ).good
    found = changes(old, new)
    assert len(found) >= 3
    assert not any("hidden" in str(change) for change in found)


def test_other_prices_are_a_change(build: Build) -> None:
    old = build(models(entry())).good
    new = Snapshot(**{name: getattr(old, name) for name in old.__struct_fields__ if name != "models"}, models={})
    assert changes(old, new) == (Change("prices_file", "changed", "other prices or sizes of models"),)


def test_long_and_unprintable_texts_are_shortened(build: Build) -> None:
    old = build(models(entry("a", info="id: one"))).good
    new = build(models(entry("a", f", tags: ['{'x' * 200}', \"\\e[1m\"]", "id: one"))).good
    (change,) = changes(old, new)
    assert len(change.text) < 120
    assert change.text.isprintable()


def test_many_new_keys_are_matched_in_the_order_of_the_document(build: Build) -> None:
    old = build(models(*(entry("a", key=f"sk-{n}") for n in range(50)))).good
    new = build(models(*(entry("a", key=f"sk-new-{n}") for n in range(50)))).good
    assert {change.what for change in changes(old, new)} == {"changed"}


def test_servers_of_mcp_are_told_by_their_id_and_without_what_may_be_secret(build: Build) -> None:
    def servers(text: str) -> Snapshot:
        return build(models(entry()) + f"mcp_servers: {{{text}}}\nmcp: {{max_stdio: 3}}\n").good

    old = servers("a: {url: 'http://h/x?k=sk-hidden', timeout: 5}, b: {command: p, args: [sk-hidden]}")
    new = servers(
        "a: {url: 'http://h/y?k=sk-hidden2', timeout: 6, static_headers: {x: sk-hidden},"
        " auth_type: api_key, auth_value: sk-hidden}, c: {url: 'http://c'}"
    )
    said = [str(one) for one in changes(old, new)]
    assert said[:2] == ["- mcp_servers[b]: stdio", "+ mcp_servers[c]: streamable_http at http://c"]
    assert "~ mcp_servers[a].url: http://h/x to http://h/y" in said
    assert "~ mcp_servers[a].timeout: 5.0 to 6.0" in said
    assert "hidden" not in str(said)
    assert [str(one) for one in changes(new, build(models(entry())).good)][-1].startswith(
        "~ mcp.limits.max_stdio: 3 to"
    )
    assert changes(old, servers("a: {url: 'http://h/x?k=sk-hidden', timeout: 5}, b: {command: p, args: [other]}"))


def test_agents_are_told_by_their_id_and_without_what_may_be_secret(build: Build) -> None:
    def agents(text: str) -> Snapshot:
        return build(models(entry()) + f"agents: [{text}]\na2a: {{task_days: 3}}\n").good

    old = agents("{agent_id: a, url: 'http://h/x?k=sk-hidden', timeout: 5}, {agent_id: b, model: m}")
    new = agents(
        "{agent_id: a, url: 'http://h/y?k=sk-hidden2', timeout: 6, static_headers: {x: sk-hidden},"
        " card: {x: sk-hidden}, auth_type: api_key, auth_value: sk-hidden}, {agent_id: c, url: 'http://c'}"
    )
    said = [str(one) for one in changes(old, new)]
    assert said[:2] == ["- agents[b]: model m", "+ agents[c]: at http://c"]
    assert "~ agents[a].url: http://h/x to http://h/y" in said
    assert "~ agents[a].timeout: 5.0 to 6.0" in said
    assert "hidden" not in str(said)
    assert str(changes(new, build(models(entry())).good)[-1]) == "~ a2a.task_days: 3 to 30"
