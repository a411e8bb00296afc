from __future__ import annotations

import math
from dataclasses import replace
from decimal import Decimal
from typing import Any

import msgspec
import numpy as np
import pytest
from unit.routing.builders import fall_silent, member
from unit.routing.learnt import candidate, learnt, lineup

from pointsman.ml.base import Features, Scores
from pointsman.ml.calibration import HeldOut
from pointsman.ml.decision import Setting, decide
from pointsman.ml.knobs import Wish
from pointsman.ml.prior import Card
from pointsman.providers.base import Deployment, Price
from pointsman.routing.candidates import Facts
from pointsman.routing.members import Member
from pointsman.routing.settings import FailureKind
from pointsman.routing.strategies.learned import Chooser, Lineup, candidate_of, sized
from pointsman.wire.needs import Needs

DOLLAR_A_MILLION = Price(input_usd_per_token=Decimal("0.000001"), output_usd_per_token=Decimal("0.000003"))


def _price(one: Member) -> Price:
    return one.deployment.price


def _deployment(one: Member) -> Deployment:
    return one.deployment


def test_a_candidate_is_described_by_its_deployments() -> None:
    one = candidate_of(
        "fast",
        [member("a", upstream_model="llama-3-8b", price=DOLLAR_A_MILLION, max_input_tokens=8000)],
        None,
        [],
        _price,
    )
    assert (one.card.input_usd_per_million, one.card.output_usd_per_million) == (1.0, 3.0)
    assert (one.card.size_billions, one.card.context_window) == (8.0, 8000)
    assert {"fast", "llama-3-8b", "openai/llama-3-8b"} == one.names


def test_what_is_declared_of_a_model_by_any_of_its_names_goes_first() -> None:
    declared = [Card(name="llama", size_billions=70.0, input_usd_per_million=9.0, description="slow and wise")]
    one = candidate_of("fast", [member("a", upstream_model="llama", price=DOLLAR_A_MILLION)], None, declared, _price)
    assert one.card == Card(
        name="fast",
        size_billions=70.0,
        input_usd_per_million=9.0,
        output_usd_per_million=3.0,
        description="slow and wise",
    )


def test_a_pattern_is_known_by_what_it_stands_for() -> None:
    one = candidate_of("openai/gpt-4o", [member("a", upstream_model="*")], "gpt-4o", [], _price)
    assert "gpt-4o" in one.names


def test_a_deployment_with_a_price_speaks_for_one_without() -> None:
    one = candidate_of("m", [member("a"), member("b", price=DOLLAR_A_MILLION)], None, [], _price)
    assert one.card.input_usd_per_million == 1.0


def test_a_lineup_without_candidates_is_refused() -> None:
    with pytest.raises(ValueError, match="no candidates"):
        Lineup([])


@pytest.mark.parametrize(
    ("fields", "needs", "reason"),
    [
        ({"lacks": frozenset({"tools"})}, Needs(tools=True), "tools"),
        ({"lacks": frozenset({"images"})}, Needs(images=True), "images"),
        ({"lacks": frozenset({"json"})}, Needs(json=True), "json"),
        ({"max_input_tokens": 10}, Needs(tokens=11), "context window"),
    ],
)
def test_who_cannot_take_a_request_is_not_open_and_the_reason_is_told(
    fields: dict[str, Any], needs: Needs, reason: str
) -> None:
    weak = candidate_of("weak", [member("a", **fields)], None, [], _price)
    among, dropped = Lineup([weak, candidate("able")]), dict[str, str]()
    fits, well = among.open_for(Facts(needs=needs), 0.0, dropped)
    assert (fits.tolist(), well.tolist(), dropped) == ([False, True], [False, True], {"weak": reason})


def test_one_deployment_that_can_take_it_is_enough() -> None:
    members = [member("a", max_input_tokens=10), member("b", max_input_tokens=100)]
    among = Lineup([candidate_of("m", members, None, [], _price)])
    assert among.open_for(Facts(needs=Needs(tokens=50)), 0.0, {})[0].all()


def test_tags_say_who_can_take_it() -> None:
    tagged = candidate_of("eu", [member("a", tags=("eu",))], None, [], _price)
    other = candidate_of("us", [member("b", tags=("us",))], None, [], _price)
    fits, _ = Lineup([tagged, other]).open_for(Facts(tags=("eu",)), 0.0, {})
    assert fits.tolist() == [True, False]


@pytest.mark.requirement("routing.regions")
def test_regions_say_who_can_take_it() -> None:
    here = candidate_of("here", [member("a", region="us-east-1"), member("b", region="eu-west-1")], None, [], _price)
    there, dropped = candidate_of("there", [member("c")], None, [], _price), dict[str, str]()
    fits, well = Lineup([here, there]).open_for(Facts(regions=(("eu",),)), 0.0, dropped)
    assert (fits.tolist(), well.tolist(), dropped) == ([True, False], [True, False], {"there": "region"})


def test_who_rests_can_take_it_and_cannot_answer_now() -> None:
    tired = member("a")
    for _ in range(5):
        tired.enter(0.0)
        tired.fail(FailureKind.TIMEOUT, 0.0, 0.0, 0.5, None)
    among, dropped = Lineup([candidate("tired", tired), candidate("able")]), dict[str, str]()
    fits, well = among.open_for(Facts(), 0.1, dropped)
    assert (fits.tolist(), well.tolist(), dropped) == ([True, True], [False, True], {"tired": "resting"})


def test_who_has_fallen_silent_cannot_answer_now() -> None:
    silent = member("a")
    fall_silent(silent, 10.0)
    assert not candidate("silent", silent).can_answer(10.0)
    assert candidate("twins", silent, member("b")).can_answer(10.0)


def test_what_staying_saves_is_the_price_of_cached_tokens() -> None:
    price = Price(input_usd_per_token=Decimal("0.000004"), cached_input_usd_per_token=Decimal("0.000001"))
    assert candidate("a", price=price).saved_usd_per_token == pytest.approx(3e-6)
    assert candidate("a").saved_usd_per_token == 0.0


def test_models_are_found_by_public_names_before_upstream_ones() -> None:
    first = candidate_of("gpt", [member("a", upstream_model="other")], None, [], _price)
    second = candidate_of("house", [member("b", upstream_model="gpt")], None, [], _price)
    among = Lineup([second, first])
    assert among.known_as(["gpt", "nobody"]) == {1: "gpt"}
    assert among.known_as(["other"]) == {1: "other"}


def test_two_candidates_of_one_upstream_model_are_both_known_by_it() -> None:
    models = {"gpt": (0.9, 0.02), "small": (0.5, 0.01)}
    for names in (("house", "other", "small"), ("gpt", "other", "small")):
        first = candidate_of(names[0], [member("a", upstream_model="gpt")], None, [], _price)
        second = candidate_of(names[1], [member("b", upstream_model="gpt")], None, [], _price)
        for pair in ((first, second), (second, first)):
            chooser = Chooser(learnt(models)[0], Lineup([*pair, candidate("small")]))
            assert chooser.unknown == ()
            assert chooser.candidates.names == (pair[0].name, pair[1].name, "small")
            assert chooser.candidates.quality.tolist() == pytest.approx([0.9, 0.9, 0.5])
            assert chooser.score(chooser.learned.features(["?"])).quality[0].tolist() == pytest.approx([0.9, 0.9, 0.5])


def test_what_was_learnt_is_put_into_the_order_of_the_lineup() -> None:
    learned, _ = learnt({"b": (0.9, 0.02), "a": (0.5, 0.01), "gone": (0.7, 0.01)})
    chooser = Chooser(learned, lineup("a", "b", "new"))
    assert chooser.candidates.names == ("a", "b", "new")
    assert chooser.candidates.quality.tolist() == pytest.approx([0.5, 0.9, 0.0])
    assert (chooser.unused, chooser.unknown) == (("gone",), ("new",))
    scores = chooser.score(chooser.learned.features(["?"]))
    assert scores.quality[0, :2].tolist() == pytest.approx([0.5, 0.9])
    assert np.isnan(scores.quality[0, 2])


def test_nothing_in_common_is_refused() -> None:
    learned, _ = learnt({"a": (0.9, 0.02)})
    with pytest.raises(ValueError, match="none of the candidates"):
        Chooser(learned, lineup("b"))


def test_costs_follow_todays_prices() -> None:
    learned, _ = learnt({"a": (0.9, 0.02), "b": (0.5, 0.01)}, prices={"a": 2.0})
    cheaper = candidate("a", input_usd_per_million=0.5, output_usd_per_million=0.5)
    chooser = Chooser(learned, Lineup([cheaper, candidate("b")]))
    assert chooser.candidates.cost_usd.tolist() == pytest.approx([0.005, 0.01])
    prospect = chooser.prospect(chooser.score(chooser.learned.features(["?"])), Setting())
    assert prospect.cost_usd.tolist() == pytest.approx([0.005, 0.01])


@pytest.mark.requirement("routing.learned.prices")
def test_mean_tokens_of_the_training_tell_what_prices_of_today_come_to() -> None:
    tokens = {"a": [1000.0, 500.0, 0.02], "b": [1000.0, 500.0, 0.01], "free": [10.0, 5.0, 0.001]}
    learned, _ = learnt({"a": (0.9, 0.02), "b": (0.5, 0.01), "free": (0.4, 0.001)}, features={"tokens": tokens})
    among = Lineup(
        [
            candidate("a", input_usd_per_million=2.0, output_usd_per_million=4.0),
            candidate("b"),
            candidate("free", input_usd_per_million=0.0, output_usd_per_million=0.0),
        ]
    )
    chooser = Chooser(learned, among)
    assert chooser.as_trained == ("b",)
    assert chooser.candidates.cost_usd.tolist() == pytest.approx([0.004, 0.01, 0.0])
    prospect = chooser.prospect(chooser.score(chooser.learned.features(["?"])), Setting())
    assert prospect.cost_usd.tolist() == pytest.approx([0.004, 0.01, 0.0])
    assert chooser.frontier.cost_usd[0] == pytest.approx(0.004)
    assert chooser.frontier.cost_usd[-1] == 0.0


def test_without_tokens_and_prices_of_then_costs_stay_as_trained() -> None:
    learned, _ = learnt({"a": (0.9, 0.02), "b": (0.5, 0.01)}, prices={})
    priced = [candidate(name, input_usd_per_million=9.0, output_usd_per_million=9.0) for name in ("a", "b")]
    chooser = Chooser(learned, Lineup(priced))
    assert chooser.as_trained == ("a", "b")
    assert chooser.candidates.cost_usd.tolist() == pytest.approx([0.02, 0.01])


def test_who_is_not_known_comes_last_the_cheapest_first() -> None:
    learned, _ = learnt({"a": (0.9, 0.02), "b": (0.5, 0.01)})
    dear = candidate("dear", input_usd_per_million=9.0, output_usd_per_million=9.0)
    cheap = candidate("cheap", input_usd_per_million=1.0, output_usd_per_million=1.0)
    chooser = Chooser(learned, Lineup([dear, candidate("nobody knows"), cheap, candidate("a"), candidate("b")]))
    fits = np.array([True, True, True, True, True])
    assert chooser.order(("b", "dear", "cheap"), fits) == ("b", "a", "cheap", "dear", "nobody knows")


def test_who_cannot_take_it_is_in_no_order() -> None:
    learned, _ = learnt({"a": (0.9, 0.02), "b": (0.5, 0.01)})
    chooser = Chooser(learned, lineup("a", "b"))
    assert chooser.order(("b",), np.array([False, True])) == ("b",)


def test_where_only_unknown_ones_are_open_one_of_them_is_first() -> None:
    learned, _ = learnt({"a": (0.9, 0.02)})
    chooser = Chooser(learned, lineup("a", "new"))
    assert chooser.order(("new",), np.array([False, True])) == ("new",)


def test_the_same_wish_comes_to_the_same_setting() -> None:
    learned, _ = learnt({"a": (0.9, 0.02), "b": (0.5, 0.01)})
    chooser = Chooser(learned, lineup("a", "b"))
    assert chooser.setting(Wish(quality=1.0)).price < chooser.setting(Wish(quality=0.0)).price
    assert chooser.setting(Wish(quality=1.0)) is chooser.setting(Wish(quality=1.0))
    assert chooser.setting(Wish(max_cost_usd=0.5)).max_cost_usd == 0.5


def test_a_share_of_strong_calls_is_a_price() -> None:
    learned, _ = learnt({"a": (0.9, 0.02), "b": (0.5, 0.01)})
    chooser = Chooser(learned, lineup("a", "b"))
    setting = chooser.setting(Wish())
    assert chooser.with_share(setting, 1.0, ()).price < chooser.with_share(setting, 0.0, ()).price
    assert chooser.with_share(setting, 1.0, ("b",)).doubt == setting.doubt


def test_a_share_is_looked_up_and_not_measured_again(monkeypatch: pytest.MonkeyPatch) -> None:
    learned, _ = learnt({"a": (0.9, 0.02), "b": (0.5, 0.01)})
    chooser = Chooser(learned, lineup("a", "b"))
    monkeypatch.setattr(HeldOut, "chosen", None)
    prices = {chooser.with_share(chooser.setting(Wish()), share / 1000, ()).price for share in range(1000)}
    assert max(prices) > min(prices)


def test_the_label_names_strategy_and_checkpoint() -> None:
    told, _ = learnt({"a": (0.9, 0.02)}, prices={})
    assert Chooser(told, lineup("a")).label == "knn@0123456789ab"
    plain, _ = learnt({"a": (0.9, 0.02)})
    assert Chooser(plain, lineup("a")).label == "knn"


@pytest.mark.parametrize(("strategy", "first"), [("smallest", "small"), ("largest", "large")])
def test_sizes_are_an_order_at_any_price(strategy: str, first: str) -> None:
    cards = [Card(name="large", size_billions=70.0), Card(name="small", size_billions=7.0)]
    learned = sized(strategy, cards)
    chooser = Chooser(learned, Lineup([candidate("large", size_billions=70.0), candidate("small", size_billions=7.0)]))
    assert chooser.lineup.names[chooser.baseline] == first
    assert chooser.setting(Wish(quality=0.0)).price == 0.0


def test_without_a_checkpoint_prices_decide_and_the_dearest_is_the_best() -> None:
    among = Lineup(
        [
            candidate("cheap", input_usd_per_million=0.1, output_usd_per_million=0.1),
            candidate("dear", input_usd_per_million=10.0, output_usd_per_million=10.0),
        ]
    )
    chooser = Chooser(among.cold("auto"), among)
    assert (chooser.label, among.names[chooser.baseline]) == ("prior", "dear")


def test_a_usual_request_costs_nothing_known_without_a_price() -> None:
    assert math.isnan(candidate("a").usual_cost_usd)
    assert candidate("a", input_usd_per_million=1.0).usual_cost_usd == pytest.approx(300e-6)


def test_how_long_a_candidate_takes_is_what_its_quickest_deployment_does() -> None:
    quick, slow = member("a"), member("b")
    quick.hear(0.5)
    slow.hear(2.0)
    learned, _ = learnt({"a": (0.9, 0.02), "b": (0.5, 0.01)})
    chooser = Chooser(learned, Lineup([candidate("a", slow, quick, member("c")), candidate("b")]))
    scores = chooser.score(chooser.learned.features(["?"]))
    seconds = chooser.prospect(scores, Setting(impatience=0.1)).seconds
    assert seconds is not None
    assert seconds.tolist() == [0.5, 0.0]
    assert chooser.prospect(scores, Setting()).seconds is None


class Moody:
    """An estimator of somebody's own on a day on which nothing works."""

    def __init__(self, mood: object) -> None:
        self.mood = mood

    def score(self, features: Features) -> Scores:
        if isinstance(self.mood, BaseException):
            raise self.mood
        return self.mood  # type: ignore[return-value]  # that is what is tried


NAN = np.full((1, 2), np.nan, np.float32)


@pytest.mark.requirement("routing.custom.estimator")
@pytest.mark.parametrize(
    "mood",
    [
        RuntimeError("no"),
        SystemExit(3),
        None,
        Scores(NAN, NAN, NAN),
        Scores(NAN[:, :1], NAN[:, :1], NAN[:, :1]),
        Scores([[1.0, 0.0]], None, None),  # type: ignore[arg-type]
    ],
)
def test_an_estimator_of_ones_own_that_fails_leaves_it_to_the_best_single_one(
    mood: object, caplog: pytest.LogCaptureFixture
) -> None:
    learned, _ = learnt({"cheap": (0.5, 0.001), "dear": (0.9, 0.01)})
    chooser = Chooser(replace(learned, strategy="custom", scorer=Moody(mood)), lineup("cheap", "dear"))
    for _ in range(3):
        scores = chooser.score(learned.features(["x"]))
        decided = decide(chooser.candidates, chooser.prospect(scores, Setting()), Setting())
        assert (decided.model, decided.reason) == ("dear", "unknown")

    assert chooser.failures == 3
    assert len(caplog.records) == 2


def test_an_estimator_of_ones_own_that_works_is_believed() -> None:
    learned, _ = learnt({"cheap": (0.9, 0.001), "dear": (0.5, 0.01)})
    chooser = Chooser(replace(learned, strategy="custom"), lineup("cheap", "new", "dear"))
    scores = chooser.score(learned.features(["x"]))

    assert scores.quality[0].tolist() == pytest.approx([0.9, np.nan, 0.5], nan_ok=True)
    assert chooser.failures == 0


def test_a_cost_that_nobody_knows_is_marked() -> None:
    learned, _ = learnt({"a": (0.9, 0.02), "b": (0.5, 0.01)}, prices={})
    assert learned.about is not None
    models = tuple(
        msgspec.structs.replace(model, cost_usd=None) if model.name == "b" else model for model in learned.about.models
    )
    trained = replace(learned, about=msgspec.structs.replace(learned.about, models=models))
    there = Lineup([candidate("a"), candidate("b"), candidate("new"), candidate("dear", input_usd_per_million=1.0)])
    assert Chooser(trained, there).costs_unknown == {"b", "new"}
    assert Chooser(there.cold("prior"), there).costs_unknown == {"a", "b", "new"}
