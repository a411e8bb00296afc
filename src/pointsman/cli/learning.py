"""What the commands of learned routing share: data, candidates, checkpoints, progress.

Importing this imports numpy, so the commands are imported when they are asked for.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np

from pointsman.cli.embedding import ADDRESS, embedder_for
from pointsman.config.custom import NoEstimator, estimator_of
from pointsman.ml import files
from pointsman.ml.base import Estimator, Table
from pointsman.ml.cards import BadCards, read_cards
from pointsman.ml.checkpoint import BadCheckpoint, Checkpoint
from pointsman.ml.learned import Learned
from pointsman.ml.prior import Card
from pointsman.ml.training.columns import NoParquet
from pointsman.ml.training.formats import read
from pointsman.ml.training.gathering import BadData, Prices, Reading
from pointsman.providers.base import Price
from pointsman.providers.registry import load_facts

STEPS = 1000
data_argument = click.argument(
    "data", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path), metavar="DATA..."
)
checkpoint_argument = click.argument("checkpoint", type=click.Path(path_type=Path, file_okay=False))
candidates_option = click.option(
    "--candidates",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A file of candidates with prices, as LLMRouter or RouteIQ have it; gives costs where data has lengths only.",
)
embedder_option = click.option(
    "--embedder",
    metavar="SPEC",
    help="static:DIRECTORY, onnx:DIRECTORY, sentence:NAME or gateway:MODEL, instead of one that is trained along.",
)
gateway_option = click.option(
    "--gateway",
    default=ADDRESS,
    show_default=True,
    metavar="URL",
    help="The gateway to ask, or any OpenAI-like address.",
)
key_option = click.option(
    "--key", envvar="POINTSMAN_API_KEY", metavar="KEY", help="Its key.  [env: POINTSMAN_API_KEY]", show_envvar=False
)
estimator_option = click.option(
    "--estimator", metavar="MODULE:CLASS", help="Your own estimator, or the name of an entry point."
)


def strategy_options(command: Any) -> Any:
    """What it takes to load a checkpoint: see :func:`loaded`."""
    for option in (estimator_option, key_option, gateway_option, embedder_option):
        command = option(command)
    return command


def cards_of(path: Path | None) -> tuple[Card, ...]:
    """The candidates of a file; none without one.

    :raises click.ClickException: it cannot be read
    """
    if path is None:
        return ()
    try:
        return read_cards(path.read_bytes())
    except OSError as error:
        raise click.ClickException(f"cannot read {path}: {error.strerror}") from error
    except BadCards as error:
        raise click.ClickException(f"{path}: {error}") from error


def gathered(paths: Sequence[Path], cards: Sequence[Card] = ()) -> Reading:
    """The outcomes in these files; says what was found.

    :raises click.ClickException: they cannot be read
    """
    try:
        found = read(paths, prices=prices_of(cards))
    except (BadData, NoParquet) as error:
        raise click.ClickException(str(error)) from error
    table = found.table
    known = int(np.isfinite(table.quality).sum())
    click.echo(
        f"{len(table):,} prompts, {len(table.models)} models, {known:,} scores ({', '.join(found.formats)} of "
        f"{_few(found.sources)})"
    )
    for note in found.notes:
        click.echo(f"Note: {note}")
    return found


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more files" if len(names) > 3 else "")


def prices_of(cards: Sequence[Card]) -> Prices:
    """Prices of candidates; of models that are none, or have none there, those of the price table."""
    declared = {card.name: card for card in cards if card.input_usd_per_million is not None}

    def price(name: str) -> tuple[float, float] | None:
        card = declared.get(name) or known_card(name)
        if card is None or card.input_usd_per_million is None:
            return None
        answered = card.output_usd_per_million
        return card.input_usd_per_million, card.input_usd_per_million if answered is None else answered

    return price


def known_card(name: str) -> Card | None:
    """A model of the price table, named alone or as ``vendor/model``; of several vendors the cheapest one."""
    known = load_facts()
    vendor, _, model = name.partition("/")
    found = [known[v].get(name) for v in known]
    found += [known[vendor].get(model)] if model and vendor in set(known) else []
    prices = [fact.price for fact in found if fact is not None and _per_million(fact.price) is not None]
    cheapest = min(map(_per_million, prices), default=None)  # type: ignore[type-var]
    if cheapest is None:
        return None
    return Card(name=name, input_usd_per_million=cheapest[0], output_usd_per_million=cheapest[1])


def _per_million(price: Price) -> tuple[float, float] | None:
    asked, answered = price.input_usd_per_token, price.output_usd_per_token
    return None if asked is None or answered is None else (float(asked * 10**6), float(answered * 10**6))


def loaded(directory: Path, options: Mapping[str, Any]) -> tuple[Checkpoint, Learned]:
    """A checkpoint and the strategy that it makes, with the ``embedder`` and the ``estimator`` of the options.

    :raises click.ClickException: it cannot be used
    """
    embedder = embedder_for(options["embedder"], options["gateway"], options["key"])
    custom = custom_estimator(options["estimator"])
    try:
        checkpoint = files.read(directory)
        return checkpoint, Learned.from_checkpoint(checkpoint, {embedder.id: embedder} if embedder else {}, custom)
    except BadCheckpoint as error:
        raise click.ClickException(str(error if error.where else error.at(str(directory)))) from error


def custom_estimator(reference: str | None) -> type[Estimator] | None:
    """The class that the user names.

    :raises click.ClickException: there is none
    """
    try:
        return None if reference is None else estimator_of(reference, Path.cwd())
    except NoEstimator as error:
        raise click.ClickException(str(error)) from error


def narrowed(learned: Learned, table: Table) -> Learned:
    """The strategy for the models of a table, in its order.

    :raises click.ClickException: it does not know one of them
    """
    unknown = [model for model in table.models if model not in learned.candidates.places]
    if unknown:
        raise click.ClickException(
            f"the checkpoint knows nothing of {', '.join(unknown)}; "
            f"it was made for {', '.join(learned.candidates.names)}"
        )
    return learned.narrowed(table.models)


@contextlib.contextmanager
def progress(label: str) -> Iterator[Callable[[str, float], None]]:
    """A bar on the terminal, moved by calls with what is done now and the share of the whole that is done, 0..1."""
    with click.progressbar(length=STEPS, label=label, item_show_func=lambda what: what or "") as bar:

        def told(what: str, share: float) -> None:
            bar.update(max(int(share * STEPS) - bar.pos, 0), what)

        yield told


def write_text(path: Path, text: str) -> None:
    """A file, said to be written.

    :raises click.ClickException: it cannot be
    """
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise click.ClickException(f"cannot write {path}: {error.strerror}") from error
    click.echo(f"Written to {path}")
