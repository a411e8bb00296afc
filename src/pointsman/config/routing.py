"""LiteLLM's ``router_settings``, and what stands beside them, into the settings of routing.

What both ``router_settings`` and ``litellm_settings`` have counts in the former. A name that no group has is pointed
out wherever it stands: the gateway starts, but something will not happen as it was meant.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from pointsman.config.check import Report, nearest, read_section
from pointsman.config.grammar import (
    ALIAS,
    ALL_STRATEGIES,
    ALLOWED_FAILS,
    GENERAL,
    GROUP,
    HEDGING,
    LITELLM,
    POINTSMAN,
    POLICY,
    ROUTER,
)
from pointsman.config.marks import Path
from pointsman.routing.groups import ANY, captured
from pointsman.routing.registry import LEARNED, PREFIX, STRATEGIES, learned_name
from pointsman.routing.settings import Alias, FailureKind, Hedging, RoutedSettings, RoutingSettings
from pointsman.wire.knobs import knob_in

MISSPELT = 0.85
"""How alike a name is to one of ours; LiteLLM has some that are rather alike."""
_ENFORCE = "enforce_model_rate_limits"

Sections = Mapping[str, Mapping[str, Any]]
"""What the four sections of settings hold, by their names."""


def read_routing(
    sections: Sections, names: Iterable[str], routed: Mapping[str, RoutedSettings], report: Report
) -> RoutingSettings:
    """Settings of routing; ``sections`` are checked, what they hold in turn is checked here.

    ``names`` are those of model groups, patterns and deployments.
    """
    settings = _Routing(sections, {*names, *routed}, routed, report).settings()
    return msgspec.structs.replace(settings, routed=dict(routed))


def misspelt_strategy(name: str) -> str:
    """What was meant by a name that is likely to be a mistake; nothing for one of ours, and for others' names."""
    if name in ALL_STRATEGIES:
        return ""
    if name.startswith(PREFIX):
        meant = nearest(name.removeprefix(PREFIX), LEARNED)
        return f"did you mean {PREFIX}{meant}?" if meant else f"after {PREFIX} comes one of " + ", ".join(LEARNED)
    meant = nearest(name, ALL_STRATEGIES, MISSPELT)
    return f"did you mean {meant}?" if meant else ""


class _Routing:
    """The settings while they are read."""

    def __init__(
        self, sections: Sections, names: Iterable[str], routed: Mapping[str, RoutedSettings], report: Report
    ) -> None:
        self._routed = routed
        self._router = sections[ROUTER.name]
        self._litellm = sections[LITELLM.name]
        self._ours = sections[POINTSMAN.name]
        self._default_model: str | None = sections[GENERAL.name].get("completion_model")
        self._report = report
        self._groups = frozenset(names)
        self._names = set(self._groups)
        self._aliased: Mapping[str, Any] = self._router.get("model_group_alias", {})
        self._aliases = self._read_aliases()
        self._names |= self._aliases.keys()
        self._short_names = {name.partition("/")[2] for name in self._names}
        """LiteLLM takes the fallbacks of ``gpt-4o`` for ``openai/gpt-4o`` as well."""

    def settings(self) -> RoutingSettings:
        if self._default_model is not None:
            self._expect(self._default_model, (GENERAL.name, "completion_model"))
        stated = self._selection() | self._retries() | self._fallbacks() | self._cooldowns() | self._hedging()
        return RoutingSettings(
            aliases=self._aliases,
            default_model=self._default_model,
            **{name: value for name, value in stated.items() if value is not None},
        )

    def _selection(self) -> dict[str, Any]:
        router = self._router
        strategy = router.get("routing_strategy")
        return {
            "strategy": strategy if strategy in STRATEGIES else None,
            "group_strategies": self._group_strategies(),
            "has_tag_filtering": router.get("enable_tag_filtering"),
            "tags_match_any": router.get("tag_filtering_match_any"),
            "has_pre_call_checks": router.get("enable_pre_call_checks", router.get("enable_pre_call_check")),
            "enforces_rates": _ENFORCE in router.get("optional_pre_call_checks", ()),
            "max_parallel_requests": router.get("default_max_parallel_requests"),
            "is_adaptive": self._ours.get("adaptive_concurrency"),
        }

    def _retries(self) -> dict[str, Any]:
        every = self._policy(self._router.get("retry_policy"), (ROUTER.name, "retry_policy"))
        path: Path = (ROUTER.name, "model_group_retry_policy")
        own = {}
        for group, policy in self._router.get("model_group_retry_policy", {}).items():
            self._expect_group(group, (*path, group))
            own[group] = self._policy(policy, (*path, group))
        percent = self._ours.get("retry_budget_percent")
        return {
            "num_retries": self._either("num_retries")[0],
            "retry_policy": _by_kind(every, "Retries"),
            "group_retry_policies": {group: _by_kind(policy, "Retries") for group, policy in own.items()},
            "default_retries": {
                group: policy["DefaultRetries"]
                for group, policy in ({"": every} | own).items()
                if "DefaultRetries" in policy
            },
            "retry_after": self._router.get("retry_after"),
            "retry_share": None if percent is None else percent / 100,
        }

    def _fallbacks(self) -> dict[str, Any]:
        defaults, path = self._either("default_fallbacks")
        for group in defaults or ():
            self._expect_target(group, path)
        kinds = ("fallbacks", "context_window_fallbacks", "content_policy_fallbacks")
        stated: dict[str, Any] = {kind: self._fallbacks_of(kind) for kind in kinds}
        return stated | {"default_fallbacks": defaults, "max_fallbacks": self._router.get("max_fallbacks")}

    def _cooldowns(self) -> dict[str, Any]:
        time, _ = self._either("cooldown_time")
        path: Path = (ROUTER.name, "allowed_fails_policy")
        allowed = read_section(self._router.get("allowed_fails_policy"), ALLOWED_FAILS, path, self._report).values
        return {
            "has_cooldowns": time != 0 and not self._router.get("disable_cooldowns", False),
            "cooldown_time": time or None,
            "allowed_fails": self._either("allowed_fails")[0],
            "allowed_fails_policy": _by_kind(allowed, "AllowedFails"),
        }

    def _hedging(self) -> dict[str, Any]:
        found = {}
        for group, raw in self._ours.get("hedging", {}).items():
            path: Path = (POINTSMAN.name, "hedging", group)
            if group != ANY:
                self._expect_group(group, path)
            values = read_section(raw, HEDGING, path, self._report).values
            share = {"share": values["budget_percent"] / 100} if "budget_percent" in values else {}
            found[group] = Hedging(delay=values.get("delay"), **share)
        return {"hedging": found}

    def _group_strategies(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for index, raw in enumerate(self._router.get("routing_groups", ())):
            path: Path = (ROUTER.name, "routing_groups", index)
            reading = read_section(raw, GROUP, path, self._report)
            for key in GROUP.keys:
                if reading.is_sound and key.is_required and key.name not in reading.values:
                    self._report.error(path, f"has no {key.name}")
            strategy = reading.values.get("routing_strategy")
            if strategy is not None and learned_name(strategy) is not None:
                for model in reading.values.get("models", ()):
                    self._expect_group(model, (*path, "models"))
                continue
            if "routing_strategy_args" in reading.values:
                self._report.unhonoured(GROUP, "routing_strategy_args", (*path, "routing_strategy_args"))
            if strategy is not None and strategy not in STRATEGIES:
                self._note_other(strategy, (*path, "routing_strategy"))
                continue
            for model in reading.values.get("models", ()):
                self._expect_group(model, (*path, "models"))
                if model in found:
                    self._report.warning((*path, "models"), "has a model of an earlier entry, which counts")
                found.setdefault(model, strategy)
        return found

    def _note_other(self, strategy: str, path: Path) -> None:
        if hint := misspelt_strategy(strategy):
            self._report.error(path, f"names no strategy: {strategy[:80]!r}", hint)
        else:
            self._report.notice(path, "is not acted on by this version", "acted on: " + ", ".join(STRATEGIES))

    def _policy(self, raw: Any, path: Path) -> dict[str, Any]:
        return read_section(raw, POLICY, path, self._report).values

    def _fallbacks_of(self, kind: str) -> dict[str, tuple[str, ...]]:
        entries, path = self._either(kind)
        found: dict[str, tuple[str, ...]] = {}
        for index, entry in enumerate(entries or ()):
            if not isinstance(entry, dict):
                self._report.error((*path, index), "must be a mapping such as {group: [other groups]}")
                continue
            for group, targets in entry.items():
                here = (*path, index, group)
                if group not in self._short_names:
                    self._expect(group, here)
                if group in found:
                    self._report.warning(here, "has fallbacks already; the first ones count")
                found.setdefault(group, self._targets(targets, here))
        return found

    def _targets(self, raw: Any, path: Path) -> tuple[str, ...]:
        """Names to go on with; LiteLLM has them also as ``{model: name, ...}``."""
        found = []
        for index, target in enumerate(raw if isinstance(raw, list) else [raw]):
            here = (*path, index) if isinstance(raw, list) else path
            name = target.get("model") if isinstance(target, dict) else target
            if not isinstance(name, str) or not name.strip():
                self._report.error(here, "must be the name of a model group")
                continue
            if isinstance(target, dict) and len(target) > 1:
                self._report.notice(here, "falls back to its model; what else it says is not acted on")
            self._expect_target(name, here)
            found.append(name)
        return tuple(found)

    def _expect_target(self, name: str, path: Path) -> None:
        self._expect(name, path)
        knob = knob_in(name)
        routed = self._routed.get(name) or (None if knob is None else self._routed.get(knob.name))
        if routed is not None and not routed.is_within_group:
            what = "names a routed model, which nothing goes on with"
            self._report.warning(path, what, "name one of its candidates")

    def _read_aliases(self) -> dict[str, Alias]:
        aliases: dict[str, Alias] = {}
        for name, target in self._router.get("model_group_alias", {}).items():
            path: Path = (ROUTER.name, "model_group_alias", name)
            alias = _alias(target, path, self._report)
            if alias is not None:
                aliases[name] = alias
                self._expect(alias.model, path, "is an alias of a model that is not served")
        return aliases

    def _either(self, name: str) -> tuple[Any, Path]:
        section, values = (ROUTER, self._router) if name in self._router else (LITELLM, self._litellm)
        return values.get(name), (section.name, name)

    def _expect(self, name: str, path: Path, what: str = "names a model that is not served") -> None:
        """Point out a model that nobody serves."""
        if name != ANY and not self._is_served(name):
            meant = nearest(name, self._names)
            self._report.warning(path, what, f"did you mean {meant}?" if meant else "")

    def _expect_group(self, name: str, path: Path) -> None:
        """Point out what is no group, where settings are found by the group and not by what was asked for."""
        if name in self._groups:
            return
        if name == ANY or self._is_served(name):
            # An alias, or one of the models that a pattern stands for.
            self._report.warning(path, "has no effect: no group has this name", "name the group or the pattern")
        else:
            self._expect(name, path)

    def _is_served(self, model: str) -> bool:
        patterns = (name.partition("*") for name in self._names if "*" in name)
        if (knob := knob_in(model)) is not None and (knob.name in self._routed or knob.name in self._aliased):
            return True
        return model in self._names or any(captured(head, tail, model) for head, _, tail in patterns)


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


def _by_kind(policy: Mapping[str, Any], ending: str) -> dict[FailureKind, int]:
    return {kind: policy[kind + ending] for kind in FailureKind if kind + ending in policy}
