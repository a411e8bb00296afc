"""Routed models out of a document: entries with ``model: router/<strategy>``, and ``routing_strategy: llmrouter-*``.

What they go by is looked at here, so that a checkpoint that cannot be used is found before anybody is served by it.
Nothing of learned routing is imported where there is none.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from pointsman.config.check import Reading, Report, nearest, read_section, without_credentials
from pointsman.config.document import Document, data_directory
from pointsman.config.entries import ENTRY, INFO
from pointsman.config.grammar import ROUTER
from pointsman.config.marks import Path
from pointsman.config.sources.base import MAX_FILE_BYTES, Address
from pointsman.config.strategies import ASKING, PROVIDER, ROUTED, STRATEGY_ARGS, is_routed, names_of
from pointsman.providers.base import Deployment, KnownModels
from pointsman.routing.members import model_of
from pointsman.routing.procedures import PROCEDURES
from pointsman.routing.procedures.settings import settings_of
from pointsman.routing.registry import LEARNED, PREFIX, learned_name
from pointsman.routing.settings import LearningSettings, RoutedSettings, RoutingSettings
from pointsman.store.buckets import BucketKind

AUTO = "auto"
WITHOUT_CHECKPOINT = ("auto", "smallest", "largest", "causallm", "custom", *PROCEDURES)
"""Strategies that are of use without anything learnt."""
OWN_NAMES = {
    "online_learning": "is_online",
    "exploration_share": "exploration_share",
    "regret_budget_per_hour": "regret_budget",
    "decision_log": "has_log",
    "log_prompts": "keeps_prompts",
    "canary_share": "canary_share",
}
"""Of what is learnt while serving: what a document calls it, and what our settings do."""

BUCKETS: tuple[tuple[BucketKind, str, str], ...] = (
    ("s3", "model_s3_bucket", "model_s3_key"),
    ("gcs", "model_gcs_bucket", "model_gcs_key"),
    ("azure", "model_azure_container", "model_azure_key"),
)
"""The keys that say where a checkpoint is fetched from."""

Places = Mapping[str, Path]
"""Where each routed model stands in the document."""


def read_routed(
    top: Mapping[str, Any],
    router: Mapping[str, Any],
    deployments: Sequence[Deployment],
    document: Document,
    known: KnownModels,
    report: Report,
) -> tuple[dict[str, RoutedSettings], Places]:
    """The routed models of a document, and where they stand."""
    reader = _Reader(deployments, document, known, report)
    for index, entry in enumerate(top.get("model_list", [])):
        if is_routed(entry):
            reader.read_entry(entry, ("model_list", index))
    for index, group in enumerate(router.get("routing_groups", ())):
        if isinstance(group, dict):
            reader.read_group(group, (ROUTER.name, "routing_groups", index))
    reader.read_strategy(router)
    return reader.found, reader.places


class _Reader:
    """The routed models while they are read."""

    def __init__(
        self, deployments: Sequence[Deployment], document: Document, known: KnownModels, report: Report
    ) -> None:
        self.found: dict[str, RoutedSettings] = {}
        self.places: dict[str, Path] = {}
        self._document = document
        self._directory = document.directory.absolute()
        self._report = report
        self._models: dict[str, set[str]] = {}
        """Which models each group has."""
        for one in deployments:
            self._models.setdefault(one.model_name, set()).add(model_of(one, known))

    def read_entry(self, raw: Any, path: Path) -> None:
        """``model: router/knn``."""
        entry = read_section(raw, ENTRY, path, self._report)
        params: Path = (*path, "litellm_params")
        reading = read_section(entry.values.get("litellm_params"), ROUTED, params, self._report)
        read_section(entry.values.get("model_info"), INFO, (*path, "model_info"), self._report)
        name = entry.values.get("model_name")
        if name is None:
            self._report.error(path, "has no model_name")
            return
        if not (entry.is_sound and reading.is_sound):
            return
        if "*" in name:
            self._report.error((*path, "model_name"), "is a routed model: it must not hold a *")
        elif name in self._models or name in self.found:
            self._report.error((*path, "model_name"), "is a routed model, and has another entry as well")
        elif (strategy := self._strategy(reading.values["model"], (*params, "model"))) is not None:
            self._add(name, strategy, reading, params)

    def read_group(self, raw: Mapping[str, Any], path: Path) -> None:
        """An entry of ``routing_groups`` that has a learned strategy."""
        strategy, models = raw.get("routing_strategy"), raw.get("models", ())
        name = learned_name(strategy) if isinstance(strategy, str) else None
        if name is not None and isinstance(models, list):
            wanted = [model for model in models if isinstance(model, str)]
            args: Path = (*path, STRATEGY_ARGS.name)
            self._within(name, self._args(raw, args), args, wanted, says_so=True)

    def read_strategy(self, router: Mapping[str, Any]) -> None:
        """``routing_strategy`` and its arguments: the model ``auto``, and groups of several upstream models."""
        args: Path = (ROUTER.name, STRATEGY_ARGS.name)
        strategy = learned_name(router.get("routing_strategy", ""))
        if strategy is None:
            if STRATEGY_ARGS.name in router:
                self._report.unhonoured(ROUTER, STRATEGY_ARGS.name, args)
            return
        reading = self._args(router, args)
        if reading.is_sound and AUTO not in self.found and AUTO not in self._models:
            self._add(AUTO, strategy, reading, args)
        self._within(strategy, reading, args, self._models)

    def _args(self, raw: Mapping[str, Any], path: Path) -> Reading:
        return read_section(raw.get(STRATEGY_ARGS.name), STRATEGY_ARGS, path, self._report)

    def _within(
        self, strategy: str, reading: Reading, path: Path, names: Collection[str], *, says_so: bool = False
    ) -> None:
        """Groups with deployments of several upstream models choose among these."""
        for name in names:
            is_choice = len(self._models.get(name, ())) > 1 and "*" not in name
            if not is_choice or strategy in PROCEDURES:
                if says_so:
                    what = f"has no effect on {name!r}: its deployments are of one model"
                    self._report.warning(path[:-1], what, "it chooses among the models of a group, and never its name")
            elif reading.is_sound and name not in self.found:
                self._add(name, strategy, reading, path, is_within_group=True)

    def _strategy(self, model: str, path: Path) -> str | None:
        name = model.strip().removeprefix(PROVIDER).removeprefix(PREFIX)
        if name in LEARNED:
            return name
        meant = nearest(name, LEARNED)
        hint = f"did you mean {PROVIDER}{meant}?" if meant else "there are " + ", ".join(LEARNED)
        self._report.error(path, "names no strategy", hint)
        return None

    def _add(self, name: str, strategy: str, reading: Reading, path: Path, *, is_within_group: bool = False) -> None:
        values = reading.values
        origin = self._origin(values)
        if path not in self.places.values():
            self._note(strategy, values, path)
        stated: dict[str, Any] = {
            "candidates": () if is_within_group else tuple(values.get("candidates", ())),
            "checkpoint": self._checkpoint(values, origin),
            "origin": None if origin is None else str(origin),
            # What is fetched need not be there yet, and comes again.
            "has_hot_reload": values.get("hot_reload") if origin is None else True,
            "reload_interval": values.get("reload_interval"),
            "trusted_keys": _lower(_tuple(values.get("trusted_keys"))),
            "custom": values.get("strategy"),
            "directory": str(self._directory),
            "embedder": self._embedder(values.get("embedder")),
            "embedding_timeout": values.get("embedding_timeout"),
            "cards": self._cards(values, path),
            "quality": values.get("quality"),
            "max_cost": values.get("max_cost"),
            "min_quality": values.get("min_quality"),
            "impatience": values.get("impatience"),
            "target_cost": values.get("target_cost"),
            "target_share": values.get("target_share"),
            "strong_models": _tuple(values.get("strong_models")),
            "learning": self._learning(values),
            "options": self._options(strategy, values, path),
        }
        given: dict[str, Any] = {key: value for key, value in stated.items() if value is not None}
        self.places[name] = path
        self.found[name] = RoutedSettings(name=name, strategy=strategy, is_within_group=is_within_group, **given)

    def _learning(self, values: Mapping[str, Any]) -> LearningSettings:
        stated = {own: values[key] for key, own in OWN_NAMES.items() if key in values}
        if "candidate_path" in values:
            stated["candidate"] = self._path(values, "candidate_path")
        return LearningSettings(**stated)

    def _note(self, strategy: str, values: Mapping[str, Any], path: Path) -> None:
        for _, bucket, key in BUCKETS:
            if (bucket in values) != (key in values):
                self._report.error((*path, bucket if bucket in values else key), f"{bucket} and {key} belong together")
        if strategy == "custom" and "strategy" not in values:
            self._report.error(path, "has no strategy", "name the estimator: strategy: module:Class")
        if strategy == "causallm" and "controller" not in values:
            what = "has no controller: no language model is asked what it finds likely"
            self._report.notice(path, what, "name a model group that gives logprobs")
        if "model_path" not in values and self._origin(values) is None and strategy not in WITHOUT_CHECKPOINT:
            what = f"has no model_path: {strategy} has learnt nothing, so prices and sizes decide"
            self._report.notice(path, what, "pointsman train makes a checkpoint")
        if "target_cost" in values and "target_share" in values:
            self._report.error((*path, "target_share"), "cannot be kept beside target_cost", "name one of them")

    def _origin(self, values: Mapping[str, Any]) -> Address | None:
        """Where the checkpoint is fetched from."""
        stated = (
            Address(kind, values[b], values[k].strip("/")) for kind, b, k in BUCKETS if b in values and k in values
        )
        return next(stated, None)

    def _checkpoint(self, values: Mapping[str, Any], origin: Address | None) -> str | None:
        if origin is None or "model_path" in values:
            return self._path(values, "model_path")
        name = f"{origin.kind}-{hashlib.sha256(str(origin).encode()).hexdigest()[:16]}"
        return str(data_directory(self._document.environment).absolute() / "checkpoints" / name)

    def _path(self, values: Mapping[str, Any], key: str) -> str | None:
        return str(self._directory / values[key]) if key in values else None

    def _embedder(self, name: str | None) -> str | None:
        kind, colon, rest = (name or "").partition(":")
        if kind in {"static", "onnx"} and colon:
            return f"{kind}:{self._directory / rest}"
        return name

    def _options(self, strategy: str, values: Mapping[str, Any], path: Path) -> dict[str, Any]:
        options = {key: values[key] for key in names_of(ASKING) if key in values}
        if "table_path" in options:
            table = self._json(options.pop("table_path"), (*path, "table_path"))
            if table is not None:
                options["ladder"] = table
        if strategy in PROCEDURES:
            try:
                settings_of(strategy, options)
            except ValueError as error:
                self._report.error(path, f"does not fit {strategy}: {error}")
        return options

    def _cards(self, values: Mapping[str, Any], path: Path) -> tuple[Any, ...]:
        from pointsman.ml.cards import BadCards, read_cards  # noqa: PLC0415 - numpy, only where it is needed

        where: Path = (*path, "llm_data_path")
        data = self._read(values["llm_data_path"], where) if "llm_data_path" in values else None
        if data is None:
            return ()
        try:
            return read_cards(data)
        except BadCards as error:
            self._report.error(where, f"names a file that cannot be used: {error.what}", error.hint)
            return ()

    def _json(self, name: str, path: Path) -> Any:
        data = self._read(name, path)
        try:
            return None if data is None else msgspec.json.decode(data)
        except msgspec.DecodeError as error:
            self._report.error(path, f"names a file that is no JSON: {error}")
            return None

    def _read(self, name: str, path: Path) -> bytes | None:
        try:
            data = self._document.read(name)
        except OSError as error:
            self._report.error(path, f"cannot read {without_credentials(error.filename)}: {error.strerror}")
            return None
        if len(data) > MAX_FILE_BYTES:
            self._report.error(path, f"names a file that is larger than {MAX_FILE_BYTES // 2**20} MiB")
            return None
        return data


def _lower(keys: tuple[str, ...] | None) -> tuple[str, ...] | None:
    """Hexadecimal digits are the same in either case."""
    return None if keys is None else tuple(key.strip().lower() for key in keys)


def _tuple(values: Sequence[str] | None) -> tuple[str, ...] | None:
    return None if values is None else tuple(values)


def check_routed(
    deployments: Sequence[Deployment], routing: RoutingSettings, known: KnownModels, places: Places, report: Report
) -> RoutingSettings:
    """Look at what each routed model goes by; those that have no candidate are left out."""
    if not routing.routed:
        return routing
    from pointsman.config.checkpoints import Look  # noqa: PLC0415 - numpy, only where it is needed

    look = Look(deployments, routing, known, report)
    routed: Iterator[RoutedSettings | None] = (look.at(one, places[name]) for name, one in routing.routed.items())
    return msgspec.structs.replace(routing, routed={one.name: one for one in routed if one is not None})
