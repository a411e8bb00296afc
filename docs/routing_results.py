"""Writes docs/reference/routing-results.md and its plots: what the routers are worth on tables of real outcomes.

    python docs/routing_results.py DATA [--work DIR] [--only NAME]...

DATA is a directory with the tables that are named in ``TABLES``. What is measured is kept in the work directory, which
is another one for other code, so that a run that was stopped goes on where it was; ``--only`` measures some parts, such
as ``strategies-mmlupro-knn``, and the page then holds what has been measured so far.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from pointsman.ml import table as tables
from pointsman.ml.base import Features, Scores, Table
from pointsman.ml.checkpoint import unpack
from pointsman.ml.decision import Prospect, Setting, choose_many, decide
from pointsman.ml.embedders.hashed import Hashed
from pointsman.ml.evaluation import report
from pointsman.ml.evaluation.baselines import best_single
from pointsman.ml.evaluation.measuring import measure, scored
from pointsman.ml.evaluation.metrics import Figures, Interval, Run, calibration_error, figures, pair_figures, sweep
from pointsman.ml.evaluation.replay import Change, replay
from pointsman.ml.features import Featurizer
from pointsman.ml.learned import Learned
from pointsman.ml.prior import Card, prior
from pointsman.ml.probing import Joined, medoids
from pointsman.ml.registry import ESTIMATORS
from pointsman.ml.targets import Target, share_of_calls
from pointsman.ml.training.fit import Trained, train
from pointsman.ml.training.formats import read
from pointsman.ml.training.gathering import Reading

REFERENCE = Path(__file__).parent / "reference"
STRATEGIES = ("auto", "knn", "svm", "mlp", "mf", "routerdc", "graph", "hybrid", "elo")
LABELS = (30, 100, 300, 1000)
DRAWS = 3
MANY = 300
"""Labels by which one should know the best single model."""
SOME = 2000
"""Prompts to train on where it is done again and again."""
SETTLED = 200
"""Requests after which a target is kept."""
FEW = 1000
"""The same where each strategy does."""
PROBES = (0, 30, 100)
POOL = (
    "gemini-1.5-pro-002", "llama-3.1-70b-base", "llama-3.1-70b-instruct", "llama-3.1-8b-instruct",
    "mistral-7b-v0.2-base", "phi-3-mini-4k-instruct", "qwen1.5-110b-base", "yi-34b-base",
)  # fmt: skip
"""Eight models of MMLU-Pro, one of them dear, none of them both cheap and good."""


@dataclass(frozen=True)
class Source:
    """A table, and which of its splits is measured."""

    title: str
    file: str
    test: str
    about: str


TABLES = {
    "mmlupro": Source(
        "MMLU-Pro, 28 models",
        "mmlupro_28_traindev.parquet",
        "dev",
        "TIGER-AI-Lab/MMLU-Pro, `eval_results`, commit f418b11, Apache-2.0; costs from lengths and list prices",
    ),
    "llmrouter": Source(
        "LLMRouter's own table, 9 models",
        "ulab_default_9.parquet",
        "test",
        "ulab-uiuc/LLMRouter, `data/dcrouter_preprocessed`, commit 4e7a796, MIT; costs of 200 tokens an answer",
    ),
    "routellm": Source(
        "RouteLLM's pair on MMLU, GPT-4-1106 and Mixtral-8x7B",
        "routellm_mmlu_traindev.parquet",
        "",
        "lm-sys/RouteLLM, `routellm/evals/mmlu`, commit 0b64fda, Apache-2.0; costs from lengths",
    ),
}


class Bench:
    """The tables, and what was measured on them."""

    def __init__(self, data: Path, work: Path, only: Sequence[str]) -> None:
        self._data = data
        self._work = work
        self._only = only
        self._readings: dict[str, Reading] = {}

    def measured(self, name: str, measure_it: Callable[[], Any]) -> Any:
        """What was measured under this name; it is measured if that is wanted, and ``None`` if neither."""
        path = self._work / f"{name}.json"
        if path.exists():
            return json.loads(path.read_text())
        if self._only and not any(name.startswith(part) for part in self._only):
            return None
        begun = time.monotonic()
        found = measure_it()
        path.write_text(json.dumps(found))
        sys.stdout.write(f"{name}: {time.monotonic() - begun:.1f} s\n")
        sys.stdout.flush()
        return found

    def reading(self, name: str) -> Reading:
        if name not in self._readings:
            self._readings[name] = read([self._data / TABLES[name].file])
        return self._readings[name]

    def parts(self, name: str) -> tuple[Table, Table]:
        """What is trained on, and what is measured."""
        found = self.reading(name)
        is_test = np.array([split == TABLES[name].test for split in found.splits])
        return tables.rows(found.table, ~is_test & ~found.is_test), tables.rows(found.table, is_test)


def written(found: Figures) -> dict[str, Any]:
    """Figures as JSON."""
    names = [field for field in Figures.__dataclass_fields__ if field not in {"name", "points"}]
    return {"name": found.name, "points": found.points.tolist()} | {name: list(getattr(found, name)) for name in names}


def figures_of(found: dict[str, Any]) -> Figures:
    """The reverse."""
    values = {name: Interval(*value) for name, value in found.items() if name not in {"name", "points"}}
    return Figures(name=found["name"], points=np.array(found["points"]), **values)


def strategy_on(bench: Bench, table: str, strategy: str) -> dict[str, Any]:
    """Train with defaults, measure."""
    known, test = bench.parts(table)
    begun = time.process_time()
    trained = train(known, strategy, resamples=0)
    seconds = time.process_time() - begun
    packed = trained.packed(trained.about(created="2000-01-01T00:00:00Z"))
    begun = time.perf_counter()
    learned = Learned.from_checkpoint(unpack(packed.manifest, packed.tensors))
    loading = time.perf_counter() - begun
    found = measure(learned, test, known, TABLES[table].title, resamples=200 if strategy == "auto" else 0)
    errors = found.calibration_errors
    comparison = found.comparison
    return {
        "seconds": seconds,
        "bytes": len(packed.manifest) + len(packed.tensors),
        "loading_ms": 1000 * loading,
        "routers": [written(router) for router in comparison.routers],
        "models": list(comparison.models),
        "costs": list(comparison.costs_usd),
        "qualities": list(comparison.qualities),
        "best": comparison.best,
        "prompts": comparison.prompts,
        "calibration": [float(np.nanmean(errors)), float(np.nanmax(errors))],
        "calibration_chance": _error_by_chance(learned, test),
        "spend": [float(found.spend_errors[0]), float(np.abs(found.spend_errors).max())],
        "spend_chance": _spend_by_chance(learned, test),
        "spend_held": _spend_held(trained),
        "shares": _share_errors(learned, test),
        "decision_us": _decision_times(learned, test) if table == "mmlupro" else [],
    }


def _error_by_chance(learned: Learned, test: Table) -> float:
    """The calibration error that predictions would have if they were right: outcomes are drawn by them."""
    predicted = np.clip(scored(learned, test).quality, 0, 1)
    chance = np.random.default_rng(0)
    draws = [(chance.random(predicted.shape) < predicted).astype(np.float64) for _ in range(20)]
    return float(
        np.mean([calibration_error(*pair) for drawn in draws for pair in zip(predicted.T, drawn.T, strict=True)])
    )


def _spend(scores: Scores, cost: Any, models: Sequence[str]) -> tuple[Any, Any]:
    """(prices, n) what is predicted to be spent on each prompt at each price, and what is."""
    choices, rows = sweep(scores.quality, scores.cost_usd, models), np.arange(len(cost))
    return scores.cost_usd[rows, choices].astype(np.float64), cost[rows, choices].astype(np.float64)


def _spend_by_chance(learned: Learned, test: Table) -> list[float]:
    """What resampling the prompts adds to the error, in the mean: of the first setting, and of the worst one."""
    predicted, spent = _spend(scored(learned, test), test.cost_usd, test.models)
    error, chance = predicted.mean(1) / spent.mean(1) - 1, np.random.default_rng(0)
    draws = [chance.integers(0, len(test), len(test)) for _ in range(200)]
    more = np.abs([predicted[:, rows].mean(1) / spent[:, rows].mean(1) - 1 - error for rows in draws])
    return [float(more[:, 0].mean()), float(more.max(1).mean())]


def _spend_held(trained: Trained) -> float:
    """The error of the worst setting on all prompts of the training, each held out once."""
    held = trained.held_out
    predicted, spent = _spend(held.scores, held.cost_usd, trained.table.models)
    return float(np.abs(predicted.mean(1) / spent.mean(1) - 1).max())


def _share_errors(learned: Learned, test: Table) -> list[list[float]]:
    """Shares of strong calls that are asked for; what the price fitted to held-out prompts gives, and what is kept.

    The latter is what a target gives that follows the requests, in some orders, after the first of them: the worst one.
    """
    candidates, scores = learned.candidates, scored(learned, test)
    best = candidates.baseline(0.0, candidates.all)
    found = []
    for share in (0.2, 0.4, 0.6):
        price = learned.price_of_share([candidates.names[best]], share)
        places = choose_many(candidates, scores, Setting(price=price, doubt=0.0))
        kept = [_kept_share(learned, scores, best, share_of_calls(share, price=price), seed) for seed in range(DRAWS)]
        worst = max(kept, key=lambda given: abs(given - share))
        found.append([share, float((places == best).mean()), worst])
    return found


def _kept_share(learned: Learned, scores: Scores, best: int, target: Target, seed: int) -> float:
    is_best = []
    for row in np.random.default_rng(seed).permutation(len(scores.quality)):
        one = Scores(*(values[row : row + 1] for values in (scores.quality, scores.variance, scores.cost_usd)))
        place = choose_many(learned.candidates, one, Setting(price=target.price, doubt=0.0))[0]
        is_best.append(float(place == best))
        target.observe(is_best[-1])
    return float(np.mean(is_best[SETTLED:]))


def _decision_times(learned: Learned, test: Table) -> list[float]:
    """Median and 99th percentile of a decision for prompts of about 500 characters, in microseconds."""
    prompts = [prompt[:500] for prompt in test.prompts if len(prompt) >= 400][:400]
    times = []
    for prompt in prompts:
        begun = time.perf_counter()
        scores = learned.score(learned.features([prompt]))
        decide(learned.candidates, Prospect.of(scores, 0, learned.candidates), learned.policy)
        times.append(1e6 * (time.perf_counter() - begun))
    return [float(value) for value in np.quantile(times[20:], [0.5, 0.99])]


def pair(bench: Bench) -> dict[str, Any]:
    """RouteLLM's figures, of prompts each held out once, and of the prior."""
    table = bench.reading("routellm").table
    strong = int(np.nanmean(table.quality, axis=0).argmax())
    outcomes = table.quality[:, strong], table.quality[:, 1 - strong]
    cards = [Card(name=m, cost_usd=float(c)) for m, c in zip(table.models, np.nanmean(table.cost_usd, 0), strict=True)]
    cold = prior(cards)
    found = {"no labels (prior)": cold.score(cold.features(list(table.prompts))).quality}
    for strategy in STRATEGIES:
        found[strategy] = train(table, strategy, resamples=0).held_out.scores.quality
    figured = {}
    for name, quality in found.items():
        need = quality[:, strong].astype(np.float64) - quality[:, 1 - strong]
        got = pair_figures(need, *outcomes)
        figured[name] = [list(value) for value in (got.apgr, got.cpt50, got.cpt80)]
    return figured


def few_labels(bench: Bench, table: str, strategy: str) -> list[list[float]]:
    """For each number of labelled prompts the worst and the mean of some draws: points above the best single model.

    That is the best one by the labels at hand where they are few, else by all.
    """
    known, test = bench.parts(table)
    found = []
    for count in LABELS:
        gains = []
        for draw in range(DRAWS):
            some = tables.rows(known, np.random.default_rng(draw).permutation(len(known))[:count])
            gains.append(gain(learnt(some, strategy), test, best_single(some if count < MANY else known)))
        found.append([count, min(gains), float(np.mean(gains))])
    return found


def other_domains(bench: Bench, table: str, strategy: str) -> list[float]:
    """Each task measured by a router that never saw it: points above the best single model over all, and the worst."""
    known, test = bench.parts(table)
    gains, counts = [], []
    for task in sorted(set(test.tasks)):
        rest = tables.rows(known, np.array([other != task for other in known.tasks]))
        some = tables.rows(rest, np.random.default_rng(0).permutation(len(rest))[:FEW])
        own = tables.rows(test, np.array([other == task for other in test.tasks]))
        gains.append(gain(learnt(some, strategy), own, best_single(rest)))
        counts.append(len(own))
    return [float(np.average(gains, weights=counts)), float(min(gains))]


@dataclass(frozen=True)
class Newcomer:
    """A model that was left out of a training, beside those that were there."""

    others: list[str]
    scores: Scores
    """Of the others, for the prompts that are measured."""
    joined: Callable[[int], Scores]
    """The same with the new one at the end, after so many probes."""


def newcomers(known: Table, test: Table, strategy: str, count: int) -> Iterator[Newcomer]:
    """Each model in its turn."""
    some = tables.rows(known, np.random.default_rng(0).permutation(len(known))[:count])
    featurizer = featurizer_of(some)
    features, asked = (featurizer.features(list(part.prompts)) for part in (some, test))
    probes = medoids(features.embedding, max(PROBES))
    costs, qualities = np.nanmean(some.cost_usd, 0), np.nanmean(some.quality, 0)
    for place, name in enumerate(some.models):
        others = [i for i in range(len(some.models)) if i != place]
        estimator = ESTIMATORS[strategy]().fit(features, tables.columns(some, [some.models[i] for i in others]))
        scores, told = estimator.score(asked), estimator.score(rows_of(features, probes))
        cards = [Card(name=some.models[i], quality=float(qualities[i]), cost_usd=float(costs[i])) for i in others]
        level = float(prior([*cards, Card(name=name, cost_usd=float(costs[place]))]).candidates.quality[-1])
        start = Joined.none(scores.quality.mean(0).astype(np.float64))

        def joined(
            count: int, place: int = place, others: list[int] = others, scores: Scores = scores, told: Scores = told,
            level: float = level, start: Joined = start,
        ) -> Scores:  # fmt: skip
            first = probes[:count]
            return start.with_model(
                "new",
                Scores(*(values[:count] for values in (told.quality, told.variance, told.cost_usd))),
                some.quality[first, place],
                some.cost_usd[first, place],
                level=level,
                cost_factor=float(costs[place] / np.exp(np.log(costs[others]).mean())),
                known=some.quality[first][:, others],
            ).extend(scores)

        yield Newcomer([some.models[i] for i in others], scores, joined)


def pool_of(bench: Bench, table: str) -> tuple[Table, Table]:
    """What is trained on and what is measured, of few models."""
    known, test = bench.parts(table)
    names = POOL if table == "mmlupro" else known.models
    return tables.columns(known, names), tables.columns(test, names)


def new_models(bench: Bench) -> list[dict[str, Any]]:
    """Each model of a pool joins those that were trained without it: accuracy and AIQlog by the number of probes."""
    known, test = pool_of(bench, "mmlupro")
    some = tables.rows(known, np.random.default_rng(0).permutation(len(known))[:SOME])
    everything = learnt(some, "auto")(test)
    found = []
    for name, new in zip(known.models, newcomers(known, test, "auto", SOME), strict=True):
        table = tables.columns(test, [*new.others, name])
        at = [known.models.index(model) for model in table.models]
        whole = Scores(*(values[:, at] for values in (everything.quality, everything.variance, everything.cost_usd)))
        points = [_without_last(new.scores), *(new.joined(count) for count in PROBES), whole]
        found.append({"model": name, "points": [measured_as(scores, table) for scores in points]})
    return found


def one_out(bench: Bench, table: str, strategy: str) -> list[float]:
    """Each model joins after the most probes: points above the best single model of those that were trained."""
    known, test = pool_of(bench, table)
    gains = []
    for name, new in zip(known.models, newcomers(known, test, strategy, FEW), strict=True):
        best = best_single(tables.columns(known, new.others))
        scores = new.joined(max(PROBES))
        gains.append(gain(partial(_known, scores), tables.columns(test, [*new.others, name]), best))
    return gains


def _known(scores: Scores, _asked: Table) -> Scores:
    return scores


def without_labels(bench: Bench, table: str) -> list[Any]:
    """The prior, where only quality counts: what it takes, and its points by the model that is really the best."""
    known, test = bench.parts(table)
    costs = np.nanmean(known.cost_usd, 0)
    cold = prior([Card(name=name, cost_usd=float(cost)) for name, cost in zip(known.models, costs, strict=True)])
    strongest = int(np.argmax(cold.candidates.quality))
    scores = cold.score(cold.features(list(test.prompts)))
    by_strongest, by_best = (gain(partial(_known, scores), test, place) for place in (strongest, best_single(known)))
    return [known.models[strongest], by_strongest, known.models[best_single(known)], by_best]


def online(bench: Bench) -> dict[str, list[float]]:
    """Learning from one observed reward a request, with nothing known before but prices."""
    found = bench.reading("mmlupro")
    pool = tables.columns(found.table, POOL)
    plain = [replay(pool, seed=seed) for seed in range(DRAWS)]
    changed = [replay(pool, seed=seed, change=Change(at=4000)) for seed in range(DRAWS)]
    return {
        "mean": [one.mean for one in plain],
        "last": [one.last for one in plain],
        "best": [one.best for one in plain],
        "explored": [float(one.explored.mean()) for one in plain],
        "recovered": [one.recovered for one in changed],
    }


def measured_as(scores: Scores, table: Table) -> list[float]:
    """Accuracy where only quality counts, and AIQlog."""
    run = Run("router", sweep(scores.quality, scores.cost_usd, table.models))
    got = figures(run, table, best_single(table), resamples=0)
    return [got.accuracy.value, got.aiq_log.value]


def _without_last(scores: Scores) -> Scores:
    """A model that is never chosen comes last."""

    def beside(values: Any, last: float) -> Any:
        return np.hstack([values, np.full((len(values), 1), last, np.float32)])

    return Scores(beside(scores.quality, -1.0), beside(scores.variance, 0.0), beside(scores.cost_usd, 1.0))


def featurizer_of(table: Table) -> Featurizer:
    """Trained on the prompts of a table."""
    prompts = list(table.prompts)
    return Featurizer.trained(Hashed.trained(prompts), prompts)


def rows_of(features: Features, places: Any) -> Features:
    """Some of the prompts."""
    return Features(features.embedding[places], features.surface[places])


def learnt(table: Table, strategy: str) -> Callable[[Table], Scores]:
    """A strategy with its defaults, without anything held out: what it says of the prompts of a table."""
    featurizer = featurizer_of(table)
    estimator = ESTIMATORS[strategy]().fit(featurizer.features(list(table.prompts)), table)
    return lambda asked: estimator.score(featurizer.features(list(asked.prompts)))


def gain(score: Callable[[Table], Scores], test: Table, best: int) -> float:
    """Points of quality above one model, where only quality counts."""
    scores = score(test)
    places = sweep(scores.quality, scores.cost_usd, test.models, [0.0])[0]
    return 100 * float((test.quality[np.arange(len(test)), places] - test.quality[:, best]).mean())


def page(bench: Bench) -> Iterator[str]:
    """The page, line by line."""
    yield from HEAD
    for name in ("mmlupro", "llmrouter"):
        yield from _main(bench, name)
    yield from _seven(bench)
    yield from _pair(bench)
    yield from _no_harm(bench)
    yield from _new_models(bench)
    yield from _online(bench)
    yield from _honesty(bench)
    yield from _speed(bench)
    yield from ["## Tables", "", "| table | source |", "|---|---|"]
    yield from (f"| {source.title} | {source.about} |" for source in TABLES.values())


HEAD = (
    "# What routing is worth",
    "",
    "Measured on tables of real outcomes, with the defaults of each strategy. Each table is split by a hash of the",
    "prompt, and what is measured was never trained on. Written by `make routing-results DATA=directory`; tables are",
    "named at the end.",
    "",
    "*quality* is the mean score at the setting that wants quality alone. *AIQlog* is the mean quality over the",
    "logarithm of the cost, between the cheapest and the dearest model. *CostSave* is what is saved at the quality of",
    "the best single model. In brackets: 95 % intervals, by resampling the prompts. The *zero router* is the hull of",
    "the single models. The router that is *told the task* of each prompt and the *oracle*, which knows outcomes, are",
    "there to compare with.",
    "",
)


def _main(bench: Bench, table: str) -> Iterator[str]:
    found = bench.measured(f"strategies-{table}-auto", lambda: strategy_on(bench, table, "auto"))
    if found is None:
        return
    best = found["best"]
    comparison = report.Comparison(
        title=TABLES[table].title,
        prompts=found["prompts"],
        models=tuple(found["models"]),
        costs_usd=tuple(found["costs"]),
        qualities=tuple(found["qualities"]),
        best=best,
        routers=tuple(map(figures_of, found["routers"])),
    )
    (REFERENCE / f"routing-{table}.svg").write_text(report.svg(comparison))
    yield from (f"## {TABLES[table].title}", "", f"![Quality over cost](routing-{table}.svg)", "")
    yield f"{found['prompts']:,} prompts. Best single model: {found['models'][best]}."
    yield from ("", "| router | quality | $ per 1,000 | AIQlog | CostSave |", "|---|---|---|---|---|")
    for router in comparison.routers:
        area = _span(router.aiq_log, 4) if len(router.points) > 1 else ""
        cost = f"{1000 * router.cost_usd.value:.4f}"
        yield f"| {router.name} | {_span(router.accuracy, 4)} | {cost} | {area} | {_percent(router.cost_save)} |"
    yield ""


def _seven(bench: Bench) -> Iterator[str]:
    yield from (
        "## Every strategy",
        "",
        "Points above the best single model, AIQlog above the zero router, CostSave.",
        "",
    )
    yield "| strategy | " + " | ".join(TABLES[name].title for name in ("mmlupro", "llmrouter")) + " |"
    yield "|---|---|---|"
    for strategy in STRATEGIES:
        cells = []
        for table in ("mmlupro", "llmrouter"):
            found = bench.measured(f"strategies-{table}-{strategy}", partial(strategy_on, bench, table, strategy))
            cells.append("" if found is None else _against(found))
        yield f"| {strategy} | {' | '.join(cells)} |"
    yield ""


def _against(found: dict[str, Any]) -> str:
    by_name = {router["name"]: router for router in found["routers"]}
    own, zero = found["routers"][0], by_name["zero router"]
    points = 100 * (own["accuracy"][0] - found["qualities"][found["best"]])
    return f"{points:+.2f}, {own['aiq_log'][0] - zero['aiq_log'][0]:+.4f}, {100 * own['cost_save'][0]:.0f} %"


def _pair(bench: Bench) -> Iterator[str]:
    found = bench.measured("pair", lambda: pair(bench))
    if found is None:
        return
    yield from (
        f"## {TABLES['routellm'].title}",
        "",
        "Trained on 1,200 labels at a time, each prompt held out once. The paper measured other prompts of it.",
        "",
    )
    yield from ("| router | APGR | CPT 50 % | CPT 80 % |", "|---|---|---|---|")
    yield "| best of the RouteLLM paper (1,500 labels) | 0.603 | 35.4 | 70.3 |"
    for name, (apgr, half, most) in found.items():
        yield f"| {name} | {_span(Interval(*apgr), 3)} | {_span(Interval(*half), 1)} | {_span(Interval(*most), 1)} |"
    yield from (
        "",
        "The four weights of the prior were chosen with the tables of this page in view, which flatters it.",
        "",
    )


def _no_harm(bench: Bench) -> Iterator[str]:
    yield from ("## No harm", "")
    yield "Points above the best single model, where only quality counts:"
    yield ""
    yield f"- the worst of {DRAWS} draws for each number of labelled prompts, below {MANY} by the best of these labels,"
    yield f"- the mean over tasks, each of them left out of the training, which has {FEW:,} prompts of the others,"
    yield f"- the worst over models, each of them left out of the training and joined after {max(PROBES)} probes;"
    yield "  of MMLU-Pro, among the eight that are named below."
    for table in ("mmlupro", "llmrouter"):
        head = " | ".join(f"{count:,} labels" for count in LABELS)
        yield from ("", f"### {TABLES[table].title}", "", f"| strategy | {head} | task left out | model left out |")
        yield "|---" * (len(LABELS) + 3) + "|"
        for strategy in STRATEGIES:
            few = bench.measured(f"labels-{table}-{strategy}", partial(few_labels, bench, table, strategy))
            out = bench.measured(f"domains-{table}-{strategy}", partial(other_domains, bench, table, strategy))
            one = bench.measured(f"models-{table}-{strategy}", partial(one_out, bench, table, strategy))
            cells = [""] * len(LABELS) if few is None else [f"{worst:+.2f}" for _, worst, _ in few]
            cells += ["" if out is None else f"{out[0]:+.2f}", "" if one is None else f"{min(one):+.2f}"]
            yield f"| {strategy} | {' | '.join(cells)} |"
        cold = bench.measured(f"cold-{table}", partial(without_labels, bench, table))
        if cold is not None:
            strongest, by_strongest, best, by_best = cold
            yield from (
                "",
                "Without any labels every strategy is the prior, which takes the strongest model by price and size",
            )
            yield f"for the best: {strongest} here, {by_strongest:+.2f} points by it. By the model that is best indeed,"
            yield f"{best}, that is {by_best:+.2f} points: the promise needs labels."
    yield ""


def _new_models(bench: Bench) -> Iterator[str]:
    found = bench.measured("new-models", lambda: new_models(bench))
    if found is None:
        return
    yield from (
        "## A new model joins",
        "",
        "Eight models of MMLU-Pro, each left out of the training of `auto` in turn.",
    )
    yield "Quality / AIQlog without it, with some probes, and had it been there from the beginning."
    heads = ["without", *(f"{count} probes" for count in PROBES), "trained"]
    yield from ("", f"| model | {' | '.join(heads)} |", "|---" * (len(heads) + 1) + "|")
    for row in found:
        yield f"| {row['model']} | " + " | ".join(f"{q:.4f} / {a:.4f}" for q, a in row["points"]) + " |"
    yield ""


def _online(bench: Bench) -> Iterator[str]:
    found = bench.measured("online", lambda: online(bench))
    if found is None:
        return
    yield from ("## Learning while it serves", "")
    yield "The pool of eight models, all prompts in an order at random, one observed reward a request (the score less"
    yield f"200 times the cost), and nothing known before but prices; {DRAWS} orders. A change halves the scores of the"
    yield "best model at request 4,000. What is recovered is the part of that loss made good from request 5,000 on."
    yield from (
        "",
        "| reward, mean | last 2,000 | the best model, in hindsight | explored | recovered after the change |",
    )
    yield "|---" * 5 + "|"
    columns = ("mean", "last", "best", "explored", "recovered")
    yield f"| {' | '.join(', '.join(f'{value:.3f}' for value in found[name]) for name in columns)} |"
    yield ""


def _honesty(bench: Bench) -> Iterator[str]:
    yield from (
        "## Calibration",
        "",
        "Of `auto`, on prompts it never saw; in brackets the error by chance of a predictor that is right. *Spend* is",
        "what is predicted to be spent by what is, where only quality counts and at the worst price. *Held out*",
        "is the latter on the prompts of the training, each held out once. *calls* are those to the best single model:",
        f"asked for, given at one price, and kept by a target (the worst of {DRAWS} orders after {SETTLED} requests).",
        "",
    )
    yield from (
        "| table | calibration error | worst model | spend | worst price | held out | calls: asked, given, kept |",
        "|---" * 7 + "|",
    )
    for table in ("mmlupro", "llmrouter"):
        found = bench.measured(f"strategies-{table}-auto", lambda: None)
        if found is not None:
            mean, worst = found["calibration"]
            first, most = found["spend"]
            shares = "; ".join(", ".join(f"{100 * one:.1f} %" for one in each) for each in found["shares"])
            shown = f"{mean:.3f} ({found['calibration_chance']:.3f}) | {worst:.3f}"
            own, all_of_them = (f"({100 * by_chance:.1f} %)" for by_chance in found["spend_chance"])
            spend = f"{100 * first:+.1f} % {own} | {100 * most:.1f} % {all_of_them}"
            spend += f" | {100 * found['spend_held']:.1f} %"
            errors = f"{shown} | {spend}"
            yield f"| {TABLES[table].title} | {errors} | {shares} |"
    yield ""


def _speed(bench: Bench) -> Iterator[str]:
    yield from (
        "## Speed and size",
        "",
        "MMLU-Pro, one core of the machine that wrote this page; a decision is features, scores and choice",
    )
    yield "for a prompt of 500 characters."
    yield from (
        "",
        "| strategy | training, s | checkpoint, MB | loading, ms | decision, p50 and p99, us |",
        "|---" * 5 + "|",
    )
    for strategy in STRATEGIES:
        found = bench.measured(f"strategies-mmlupro-{strategy}", lambda: None)
        if found is not None:
            half, most = found["decision_us"]
            yield (
                f"| {strategy} | {found['seconds']:.0f} | {found['bytes'] / 1e6:.1f} | {found['loading_ms']:.0f} "
                f"| {half:.0f}, {most:.0f} |"
            )
    yield ""


def _span(interval: Interval, digits: int) -> str:
    value, low, high = interval
    return f"{value:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def _percent(interval: Interval) -> str:
    return (
        ""
        if np.isnan(interval.value)
        else f"{100 * interval.value:.1f} % [{100 * interval.low:.0f}, {100 * interval.high:.0f}]"
    )


def work_of_this_code() -> Path:
    """The directory for what the code, as it is, has measured."""
    code = hashlib.sha256()
    for file in (Path(__file__), *sorted(Path(tables.__file__).parent.rglob("*.py"))):
        code.update(file.read_bytes())
    return Path(tempfile.gettempdir()) / f"pointsman-routing-results-{code.hexdigest()[:12]}"


def main() -> None:
    """Measure what is missing, write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--work", type=Path, default=work_of_this_code())
    parser.add_argument("--only", nargs="*", default=())
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    text = "\n".join(page(Bench(given.data, given.work, given.only)))
    (REFERENCE / "routing-results.md").write_text(text.rstrip() + "\n")


if __name__ == "__main__":
    main()
