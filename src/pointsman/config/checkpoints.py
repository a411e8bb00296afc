"""What routed models go by, looked at before anybody is served: candidates, checkpoints, embedders.

Needs numpy: it is imported only where there is a routed model.
"""

from __future__ import annotations

import pathlib
import re
from collections.abc import Sequence

import msgspec

from pointsman.config.check import Report, nearest
from pointsman.config.custom import NoEstimator, estimator_of
from pointsman.config.marks import Path
from pointsman.errors import ModelNotFound
from pointsman.ml.checkpoint import BadCheckpoint
from pointsman.ml.embedders import embedder_of
from pointsman.ml.embedders.base import NoEmbedder
from pointsman.ml.embedders.remote import Remote
from pointsman.ml.files import read
from pointsman.pipeline.lineups import CHATS, Extras, can_chat, chooser_of, lineup_of
from pointsman.providers.base import Deployment, KnownModels
from pointsman.routing.groups import Groups
from pointsman.routing.procedures import KNOBS
from pointsman.routing.procedures.settings import ProcedureSettings
from pointsman.routing.settings import RoutedSettings, RoutingSettings
from pointsman.routing.strategies.learned import Lineup

MAX_NAMED = 10
BOUGHT = ("quality", "min_quality", "target_cost", "target_share")
"""Settings of which a procedure may heed none."""
KEY = re.compile("[0-9a-f]{64}")
SAMPLES, MAX_ASKS = ProcedureSettings(strategy="automix").samples, ProcedureSettings(strategy="automix").max_asks


def extras_of(settings: RoutedSettings) -> Extras:
    """The embedder and the estimator that a routed model names.

    :raises NoEmbedder: there is no such embedder, or it is not installed
    :raises NoEstimator: there is no such estimator
    """
    embedder = None if settings.embedder is None else embedder_of(settings.embedder)
    if settings.custom is None or settings.strategy != "custom":
        return Extras(embedder)
    return Extras(embedder, estimator_of(settings.custom, pathlib.Path(settings.directory)))


class Look:
    """Looks at the routed models of one document."""

    def __init__(
        self, deployments: Sequence[Deployment], routing: RoutingSettings, known: KnownModels, report: Report
    ) -> None:
        self._groups = Groups(deployments, routing)
        self._known = known
        self._report = report

    def at(self, settings: RoutedSettings, path: Path) -> RoutedSettings | None:
        """The settings as they will do; ``None`` leaves the routed model out."""
        self._check_names(settings, path)
        mute = self._leave_out_mute(settings, path)
        try:
            lineup = lineup_of(settings, self._groups, self._known)
        except ValueError:
            hint = "add models that can chat to model_list"
            if mute:
                self._report.error((*path, "candidates"), "has no model that answers conversations", hint)
            else:
                self._report.warning(path, f"{settings.name!r} is left out: none of its candidates is served", hint)
            return None
        if not self._has_strong(settings, lineup, path) or not self._is_sound(settings, lineup, path):
            return None
        try:
            extras = extras_of(settings)
        except NoEmbedder as error:
            self._report.error((*path, "embedder"), error.what, error.hint)
            return None
        except NoEstimator as error:
            self._report.error((*path, "strategy"), error.what, error.hint)
            return None
        if isinstance(extras.embedder, Remote):
            self._expect(extras.embedder.model, (*path, "embedder"))
        try:
            return self._with(settings, lineup, extras, path)
        except (Exception, SystemExit) as error:
            if extras.custom is None:
                raise
            # Whatever an estimator of the operator's own does.
            what = f"names the estimator {settings.custom}, which cannot be used: {error!r}"
            self._report.error((*path, "strategy"), what, "see pointsman.ml.base.Estimator")
            return None

    def _is_sound(self, settings: RoutedSettings, lineup: Lineup, path: Path) -> bool:
        """Whether keys are keys, and a procedure's steps are about candidates."""
        for key in settings.trusted_keys:
            if not KEY.fullmatch(key):
                what = f"names no public key: {key[:80]!r}"
                self._report.error((*path, "trusted_keys"), what, "64 hexadecimal digits, as a manifest has them")
                return False
        options = settings.options
        tiers = (options.get("ladder") or {}).get("tiers") or ()
        for tier in tiers if isinstance(tiers, list | tuple) else ():
            if tier not in lineup.places:
                meant = nearest(str(tier), lineup.names)
                hint = f"did you mean {meant}?" if meant else "name it in candidates"
                self._report.error((*path, "ladder"), f"has a tier that is no candidate: {str(tier)[:80]!r}", hint)
                return False
        heeded = KNOBS.get(settings.strategy, frozenset(BOUGHT))
        for knob in BOUGHT:
            if knob not in heeded and getattr(settings, knob) is not None:
                self._report.warning((*path, knob), f"has no effect on {settings.strategy}")
        samples, asks = options.get("samples", SAMPLES), options.get("max_asks", MAX_ASKS)
        if settings.strategy == "automix" and samples >= asks:
            what = f"asks for {samples} judgements of an answer, of which max_asks leaves {max(0, asks - 1)}"
            self._report.warning((*path, "samples"), what, "raise max_asks")
        return True

    def _with(self, settings: RoutedSettings, lineup: Lineup, extras: Extras, path: Path) -> RoutedSettings | None:
        if settings.learning.candidate is not None:
            self._look_at_trial(settings, lineup, extras, path)
        if settings.checkpoint is not None:
            return self._checkpoint(settings, lineup, extras, path)
        try:
            lineup.cold(settings.strategy, extras.custom)
        except ValueError as error:
            self._report.error((*path, "strategy"), f"cannot be used without a checkpoint: {error}", "set model_path")
            return None
        return settings

    def _checkpoint(
        self, settings: RoutedSettings, lineup: Lineup, extras: Extras, path: Path
    ) -> RoutedSettings | None:
        where: Path = (*path, "model_path")
        directory = pathlib.Path(settings.checkpoint or "")
        if settings.has_hot_reload and not directory.exists():
            what = f"there is no checkpoint at {directory} yet: prices and sizes decide until there is one"
            made = "pointsman train makes it" if settings.origin is None else f"it is fetched from {settings.origin}"
            self._report.notice(where, what, made)
            return settings
        try:
            checkpoint = read(directory, trusted_keys=settings.trusted_keys)
            names = [model.name for model in checkpoint.manifest.models]
            if settings.is_within_group and not lineup.known_as(names):
                what = f"knows none of the upstream models of {settings.name!r}: prices and sizes decide there"
                self._report.notice(where, what)
                return msgspec.structs.replace(settings, checkpoint=None, origin=None, has_hot_reload=False)
            chooser = chooser_of(lineup, extras, checkpoint)
        except BadCheckpoint as error:
            what = f"names a checkpoint that cannot be used: {error.what}"
            if settings.has_hot_reload:
                self._report.warning(where, f"{what}; prices and sizes decide until there is another one", error.hint)
                return settings
            self._report.error(where, what, error.hint)
            return None
        made_by = checkpoint.manifest.strategy
        if made_by != settings.strategy:
            what = f"was trained with {made_by}, which is what decides, and not {settings.strategy}"
            self._report.notice(where, what)
        if chooser.unused:
            what = f"knows models that are no candidates of {settings.name!r}: {_few(chooser.unused)}"
            self._report.notice(where, what)
        if chooser.unknown:
            named = _few(chooser.unknown)
            what = f"knows nothing of candidates of {settings.name!r}, which are the last resort: {named}"
            self._report.notice(where, what, "pointsman probe adds a model to a checkpoint")
        if priced := [name for name in chooser.as_trained if lineup.candidates[lineup.places[name]].has_price]:
            what = f"does not tell what today's prices come to, so costs stay as trained: {_few(priced)}"
            self._report.notice(where, what, "train on data with prompt_tokens and completion_tokens")
        return settings

    def _leave_out_mute(self, settings: RoutedSettings, path: Path) -> bool:
        """Point out candidates of which nobody answers conversations; whether there are any."""
        found = False
        for name in settings.candidates:
            try:
                group = self._groups.match(name).group
            except ModelNotFound:
                continue
            if group.members and not can_chat(group):
                found = True
                modes = ", ".join(sorted({str(one.mode) for one in group.deployments if one.mode not in CHATS}))
                what = f"leaves out {name[:80]!r}, which answers no conversations: its mode is {modes}"
                self._report.warning((*path, "candidates"), what)
        return found

    def _has_strong(self, settings: RoutedSettings, lineup: Lineup, path: Path) -> bool:
        """Whether the strong models are candidates; within a group they need not be this group's."""
        if settings.is_within_group:
            return True
        missing = [name for name in settings.strong_models if name not in lineup.places]
        for name in missing:
            meant = nearest(name, lineup.names)
            hint = f"did you mean {meant}?" if meant else f"there are {_few(lineup.names)}"
            self._report.error(
                (*path, "strong_models"), f"names no candidate of {settings.name!r}: {name[:80]!r}", hint
            )
        return not missing

    def _look_at_trial(self, settings: RoutedSettings, lineup: Lineup, extras: Extras, path: Path) -> None:
        """One on trial is not needed to serve: it is taken up when its files can be used."""
        directory = pathlib.Path(settings.learning.candidate or "")
        try:
            chooser_of(lineup, extras, read(directory, trusted_keys=settings.trusted_keys))
        except BadCheckpoint as error:
            what = f"names a checkpoint that cannot be used: {error.what}"
            self._report.warning((*path, "candidate_path"), what, error.hint)

    def _check_names(self, settings: RoutedSettings, path: Path) -> None:
        options = settings.options
        named: dict[str, tuple[str, ...]] = {
            "candidates": settings.candidates,
            **{
                key: (options[key],)
                for key in ("controller", "verifier")
                if key in options and not _is_local(options[key])
            },
            "tiers": tuple(options.get("tiers", ())),
        }
        for key, names in named.items():
            for name in names:
                self._expect(name, (*path, key))

    def _expect(self, name: str, path: Path) -> None:
        try:
            match = self._groups.match(name)
        except ModelNotFound:
            if name in self._groups.names:
                what = f"names a pattern, which is no model: {name[:80]!r}"
                self._report.warning(path, what, "name models that it stands for, such as openai/gpt-4o of openai/*")
                return
            meant = nearest(name, self._groups.names)
            hint = f"did you mean {meant}?" if meant else ""
            self._report.warning(path, f"names a model that is not served: {name[:80]!r}", hint)
            return
        if not match.group.members:
            self._report.warning(path, f"names a routed model, which cannot be one of its own: {name[:80]!r}")


def _is_local(name: str) -> bool:
    """Whether it is a model in this process, and no group."""
    return name.startswith("local:")


def _few(names: Sequence[str]) -> str:
    shown = ", ".join(names[:MAX_NAMED])
    return shown if len(names) <= MAX_NAMED else f"{shown} and {len(names) - MAX_NAMED} more"
