"""A cascade (AutoMix, arXiv 2310.12963): a cheap model answers, its answer is judged, and then a dear one may be asked.

The verifier is asked several times whether the answer is right; the share of its judgements that say so is how sure it
is. A threshold, two of them, or a table that was learnt says whether that is enough. Nothing reaches the client before
it is accepted.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from pointsman.routing.procedures.base import (
    Answer,
    Ask,
    Ending,
    Plan,
    Pooled,
    Reply,
    Steps,
    ask,
    cheapest,
    prompt,
    question_of,
    quoted,
    text_of,
)
from pointsman.routing.procedures.settings import Ladder, ProcedureSettings
from pointsman.wire.chat import ChatRequest, Text, ToolResult

VERIFY: Final = (
    "You check answers. You are given a question and the answer that somebody has proposed. Work out for yourself what "
    "a right and complete answer has to say, compare, and be strict: a wrong fact, a wrong step, a missed part of the "
    "question or a missed instruction makes an answer incorrect. Give one or two short sentences of reasons and end "
    "with a line that reads 'Verdict: correct' or 'Verdict: incorrect'."
)
EXAMPLES: Final = (
    "Question:\nA train leaves at 14:50 and takes 95 minutes. When does it arrive?\n\nProposed answer:\nAt 16:25.",
    "95 minutes are 1 hour 35 minutes, and 14:50 plus that is 16:25.\nVerdict: correct",
    "Question:\nName two gases in the air and say which there is more of.\n\nProposed answer:\nOxygen and nitrogen.",
    "Both are in the air, but the answer does not say that there is more nitrogen.\nVerdict: incorrect",
)
VERIFY_TOKENS: Final = 400
VERIFY_TEMPERATURE: Final = 0.7
"""Judgements that are all the same would say no more than one."""
_AROUND: Final = r"[\s.,:;!*_`'\"“”\u2018\u2019()\[\]{}<>#|\u2013\u2014-]*"
_VERDICT: Final = re.compile(rf"{_AROUND}verdict{_AROUND}(?P<said>correct|incorrect){_AROUND}", re.IGNORECASE)
INSTRUCTING: Final = frozenset({"system", "developer"})
MAX_INSTRUCTIONS: Final = 4_000
"""Characters of a system prompt that a verifier sees."""
_REFUSED: Final = frozenset({"content_filter", "refusal"})


def cascade(request: ChatRequest, pool: Sequence[Pooled], settings: ProcedureSettings) -> Steps[Ending]:
    """Ask tier by tier until an answer is kept; the last one is not judged."""
    ladder = ladder_of(pool, settings)
    tier = 0
    best: Answer | None = None
    while tier < len(ladder.tiers) - 1:
        name = ladder.tiers[tier]
        (reply,) = yield from ask(Ask(candidate=name, request=request, purpose="answer", is_own=False))
        following = tier + 1
        if (answer := reply.answer) is not None and reply.text and answer.choices[0].finish not in _REFUSED:
            asked = judged_question(request)
            sureness = yield from judge(asked, reply.text, settings.verifier or name, settings.samples)
            if sureness is not None:
                following = ladder.after(tier, sureness)
            best = Answer(name, answer)
            if following == tier:
                return best
        tier = following
    return Plan(ladder.tiers[-1], request, best)


def ladder_of(pool: Sequence[Pooled], settings: ProcedureSettings) -> Ladder:
    """The tiers that are in ``pool`` and what each of them does; one tier alone needs no steps."""
    names = {one.name for one in pool}
    learnt, quality = settings.ladder, settings.quality
    is_learnt = learnt is not None and names.issuperset(learnt.tiers)
    if learnt is not None and is_learnt and quality is None:
        return learnt
    wanted = learnt.tiers if learnt is not None and is_learnt and len(learnt.tiers) > 1 else settings.tiers
    named = [name for name in wanted if name in names] or [cheapest(pool).name, pool[0].name]
    tiers = list(dict.fromkeys(named))
    if quality is None:
        return Ladder.of_thresholds(tiers, settings.hopeless, settings.threshold)
    if 0.0 < quality < 1.0:
        return Ladder.of_thresholds(tiers, 0.0, quality)
    return Ladder(tiers=(tiers[0] if quality <= 0.0 else tiers[-1],), steps=())


def judged_question(request: ChatRequest) -> str:
    """The question with what else an answer has to heed: instructions, and pictures that a verifier does not see."""
    asked = question_of(request)
    instructions = "\n".join(text_of(turn.parts) for turn in request.turns if turn.role in INSTRUCTING).strip()
    if instructions:
        asked = f"(Instructions for whoever answers:\n{quoted(instructions, MAX_INSTRUCTIONS)})\n\n{asked}"
    last = next((turn for turn in reversed(request.turns) if turn.role == "user"), None)
    if last is not None and not all(isinstance(part, Text | ToolResult) for part in last.parts):
        asked += "\n\n(Pictures or files that you cannot see are part of the question.)"
    return asked


def judge(question: str, answer: str, verifier: str, samples: int) -> Steps[float | None]:
    """The share of the verifier's judgements that find the answer right; ``None``: there is none."""
    asked = f"Question:\n{question}\n\nProposed answer:\n{quoted(answer)}"
    request = prompt(VERIFY, *EXAMPLES, asked, max_tokens=VERIFY_TOKENS, temperature=VERIFY_TEMPERATURE)
    replies = yield from ask(*[Ask(candidate=verifier, request=request, purpose="verify")] * max(1, samples))
    verdicts = [verdict for reply in replies if (verdict := verdict_of(reply)) is not None]
    return sum(verdicts) / len(verdicts) if verdicts else None


def verdict_of(reply: Reply) -> bool | None:
    """Whether a judgement says "correct"; ``None``: it says neither.

    Only a last line that is a verdict counts, and nothing but one: "partially correct" is none, nor are words that
    speak of what is correct. Doubt is never read as approval.
    """
    lines = reply.text.splitlines()
    found = _VERDICT.fullmatch(lines[-1]) if lines else None
    return None if found is None else found["said"].lower() == "correct"
