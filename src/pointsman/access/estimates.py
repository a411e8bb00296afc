"""What a request may use, before anybody has answered it: tokens as nearly as bytes tell, money at most.

Limits of tokens are for the usual case: an estimate is enough, as what was really used is settled afterwards. Budgets
are never to be passed: money is reckoned as if each byte of text were a token, at the dearest price that any of it may
have. Where the caller bounds the answer (``max_tokens``), no answer in text costs more than that. What is not there in
bytes is as long as the model lets it be; where nobody knows how long that is, nobody can say what the request costs at
most. Rates are whole pico-dollars, so that nothing is lost in rounding.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from decimal import ROUND_CEILING, Decimal
from math import ceil
from typing import Annotated, Any, Final, Literal

import msgspec

from pointsman.access.attachments import attached
from pointsman.providers.base import Price
from pointsman.wire import operations as op
from pointsman.wire.operations import Mode, Operation
from pointsman.wire.usage import Usage, estimate_tokens

PICO: Final = 10**12
PICO_PER_NANO: Final = 1000
USUAL_OUTPUT_TOKENS: Final = 1024
"""Of an answer whose length nobody bounds."""
IMAGE_TOKENS: Final = 6240
"""Of a large picture that is made, where it is paid for by the token."""
BYTES_PER_ATTACHED_TOKEN: Final = 8
"""Of pictures, sounds and documents within a request, whose tokens nobody can tell by their length."""
PICTURE_TOKENS: Final = 50_000
"""Of a picture within a request, at most: some models charge tens of thousands for a large one."""
MAX_PROMPT_BYTES: Final = 32_000
"""Of what is said about pictures in a form."""
DOCUMENTS_PER_QUERY: Final = 100
BYTES_PER_CHUNK: Final = 500
"""Of longer documents, more than one counts."""
BYTES_PER_SECOND: Final = 4000
"""Of speech in an upload, in a format that takes little."""
HEARD_TOKENS_PER_SECOND: Final = 15
SPOKEN_TOKENS_PER_BYTE: Final = 2
MAX_COUNT: Final = 2**40
MAX_IMAGES: Final = 128
"""And answers, that any provider gives at a time."""
MOST: Final = 2**61
"""Of anything that is counted."""


MODES: Final[frozenset[Mode]] = frozenset(one.mode for one in op.OPERATIONS)


class Rates(msgspec.Struct, frozen=True, kw_only=True):
    """The dearest that a request may be charged by, in pico-dollars."""

    given: int = 0
    """For a token of input."""
    made: int = 0
    """For a token of output."""
    query: int = 0
    image: int = 0
    second: int = 0
    character: int = 0
    most_output: int | None = None
    """Tokens of the longest answer that there can be; ``None``: unknown."""
    most_input: int | None = None
    """Tokens of the longest conversation that can be asked; ``None``: unknown."""
    modes: frozenset[Mode] = MODES
    """What has a price. All else may cost anything."""
    usual_output: int = USUAL_OUTPUT_TOKENS
    """Tokens that an answer is reckoned with if its caller does not bound it."""
    least_output: int = 0
    """Tokens that it is reckoned with in any case: its operator asks for so many."""

    def __or__(self, other: Rates) -> Rates:
        """By whichever is dearer."""
        return Rates(
            **{name: max(getattr(self, name), getattr(other, name)) for name in _PRICED},
            most_output=_longest(self.most_output, other.most_output),
            most_input=_longest(self.most_input, other.most_input),
            modes=self.modes & other.modes,
            usual_output=max(self.usual_output, other.usual_output),
            least_output=max(self.least_output, other.least_output),
        )


USUAL: Final[Mapping[str, frozenset[str]]] = {
    "service_tier": frozenset({"auto", "default", "standard", "standard_only", "flex", "scale"}),
    "serviceTier": frozenset({"standard", "flex"}),
    "speed": frozenset({"standard"}),
    "inference_geo": frozenset({"global", "not_available"}),
}
"""What a caller can ask for at the usual price, or for less. A project's own settings are for its operator to know."""
_OUTPUT: Final = ("max_tokens", "max_completion_tokens", "max_output_tokens")
_PRICED: Final = ("given", "made", "query", "image", "second", "character")
FREE: Final = Rates(most_output=0, most_input=0, usual_output=0)
"""Nobody's: what others are added to."""


class Estimate(msgspec.Struct, frozen=True, gc=False):
    """What a request may use."""

    tokens: int
    """Of input and output, about."""
    nanos: int
    """Nano-dollars, at most."""
    is_endless: bool = False
    """Whether it may cost more than that: nobody knows how long what is asked can be."""
    extra: str | None = None
    """What the caller asks for by this name has another price, which nobody knows."""

    def __or__(self, other: Estimate) -> Estimate:
        """Either, whichever is more."""
        is_endless, extra = self.is_endless or other.is_endless, self.extra or other.extra
        return Estimate(max(self.tokens, other.tokens), max(self.nanos, other.nanos), is_endless, extra)


def rates_of(
    price: Price,
    most_output: int | None = None,
    defaults: Mapping[str, Any] = {},
    overrides: Mapping[str, Any] = {},
    most_input: int | None = None,
) -> Rates:
    """Of a deployment, with what its operator puts into requests that do not say, and into all."""
    usual = max(_count(defaults.get(name)) for name in _OUTPUT) or USUAL_OUTPUT_TOKENS
    return Rates(
        given=_dearest(_prices_given(price)),
        made=_dearest(_prices_made(price)),
        query=_dearest([price.usd_per_query]),
        image=_dearest([price.usd_per_image]),
        second=_dearest([price.usd_per_second]),
        character=_dearest([price.usd_per_character]),
        most_output=most_output,
        most_input=most_input,
        modes=frozenset(_modes(price)),
        usual_output=usual,
        least_output=max(_count(overrides.get(name)) for name in _OUTPUT),
    )


class _Bounds(msgspec.Struct):
    max_tokens: Any = None
    max_completion_tokens: Any = None
    max_output_tokens: Any = None
    n: Any = None
    best_of: Any = None
    generationConfig: Any = None  # noqa: N815  as Google calls it
    generation_config: Any = None
    previous_response_id: Any = None
    conversation: Any = None
    cachedContent: Any = None  # noqa: N815  as Google calls it
    cached_content: Any = None
    container: Any = None
    service_tier: Any = None
    serviceTier: Any = None  # noqa: N815  as Google calls it
    speed: Any = None
    inference_geo: Any = None
    background: Any = None
    prompt: msgspec.Raw = msgspec.Raw(b"")
    documents: msgspec.Raw = msgspec.Raw(b"")


_Bound = Annotated[int, msgspec.Meta(ge=0, lt=MAX_COUNT)]


class _Said(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    role: str = ""
    content: str | None = None
    name: str | None = None


class _Text(msgspec.Struct):
    """A conversation of messages that are text, and what bounds its answer: there is no place in it for more."""

    messages: list[_Said]
    max_tokens: _Bound = 0
    max_completion_tokens: _Bound = 0
    max_output_tokens: _Bound = 0
    system: str | None = None
    n: Literal[1] | None = None
    best_of: None = None
    generationConfig: None = None  # noqa: N815  as Google calls it
    generation_config: None = None
    previous_response_id: None = None
    conversation: None = None
    cachedContent: None = None  # noqa: N815  as Google calls it
    cached_content: None = None
    container: None = None
    contents: None = None
    input: None = None
    instructions: None = None
    systemInstruction: None = None  # noqa: N815  as Google calls it
    system_instruction: None = None
    service_tier: Literal["auto", "default"] | None = None
    serviceTier: None = None  # noqa: N815  as Google calls it
    speed: None = None
    inference_geo: None = None
    background: None = None


class Form(msgspec.Struct, frozen=True):
    """A request that is a form."""

    size: int
    """In bytes."""
    parts: int = 1
    n: str | None = None


_RAWS: Final = msgspec.json.Decoder(list[msgspec.Raw])
_BOUNDS: Final = msgspec.json.Decoder(_Bounds)
_TEXT: Final = msgspec.json.Decoder(_Text)
_UNBOUNDED: Final = _Bounds()
_UNREADABLE: Final = _Bounds(max_tokens=MAX_COUNT, n=MAX_IMAGES)


def estimate(
    rates: Rates, operation: Operation, body: bytes, text_bytes: int, form: Form | None = None, *, is_paid: bool = True
) -> Estimate:
    """What a request may use whose JSON ``body`` has so much text, or that is a form.

    Of money only where somebody pays.
    """
    if operation.mode == "chat" and is_paid and (text := _text(body)) is not None:
        return _of_text(rates, text, len(body), text_bytes)
    coded = (len(body) - text_bytes) // BYTES_PER_ATTACHED_TOKEN
    given, most, made = estimate_tokens(text_bytes) + coded, len(body), 0
    picos, is_endless, extra = rates.query, False, None
    if operation in op.CONVERSATIONS:
        bounds = _bounds(body)
        made = _output(rates, bounds) * _prompts(bounds, operation)
        if is_paid:
            most, is_endless = _input(rates, operation, body, bounds)
            extra = _extra(bounds) if rates.given or rates.made else None
    elif operation.mode == "image_generation":
        count = pictures_asked(body, form)
        made = IMAGE_TOKENS * count
        picos += rates.image * count
        if form is not None:
            given = most = min(form.size, IMAGE_TOKENS * form.parts + MAX_PROMPT_BYTES)
    elif operation.mode == "audio_speech":
        made = SPOKEN_TOKENS_PER_BYTE * len(body)
        picos += rates.character * len(body)
    elif operation.mode == "audio_transcription":
        seconds = _seconds(form)
        given = most = made = HEARD_TOKENS_PER_SECOND * seconds
        picos += rates.second * seconds
    elif operation.mode == "rerank":
        picos = rates.query * _queries(_bounds(body), len(body))
    picos += rates.given * most + rates.made * made
    return Estimate(min(given + made, MOST), min(-(-picos // PICO_PER_NANO), MOST), is_endless, extra)


def asked_for(operation: Operation, body: bytes, text_bytes: int, form: Form | None, text: str) -> Usage:
    """What a request is taken to have used if nobody tells; ``text`` is what was to be spoken.

    Of an answer in text nothing.
    """
    given, made, images, seconds, queries = estimate_tokens(text_bytes), 0, 0, 0, 0
    match operation.mode:
        case "image_generation":
            images = pictures_asked(body, form)
            made = IMAGE_TOKENS * images
        case "audio_speech":
            made = SPOKEN_TOKENS_PER_BYTE * len(text)
        case "audio_transcription":
            seconds = _seconds(form)
            given = made = HEARD_TOKENS_PER_SECOND * seconds
        case "rerank":
            queries = _queries(_bounds(body), len(body))
    return Usage(
        input_tokens=given,
        output_tokens=made,
        total_tokens=given + made,
        images=images,
        seconds=seconds,
        search_units=queries,
        characters=len(text),
    )


def _seconds(form: Form | None) -> int:
    """Of the sound in a form, about."""
    return (0 if form is None else form.size) // BYTES_PER_SECOND + 1


def pictures_asked(body: bytes, form: Form | None) -> int:
    """How many pictures are to be made."""
    return _count(_bounds(body).n if form is None else form.n) or 1


def _input(rates: Rates, operation: Operation, body: bytes, bounds: _Bounds) -> tuple[int, bool]:
    """Tokens that a conversation has at most, and whether there may be more."""
    tokens, longest, found = len(body), rates.most_input, attached(body)
    # What the provider keeps.
    is_open = (
        bounds.previous_response_id is not None
        or bounds.conversation is not None
        or bounds.cachedContent is not None
        or bounds.cached_content is not None
        or bounds.container is not None
    )
    if operation is op.RESPONSES and _first(bounds.prompt) == b"{":
        is_open = True
    if found is not None:
        is_open |= found.is_open
        tokens += found.sound // BYTES_PER_ATTACHED_TOKEN + found.pictures * PICTURE_TOKENS - found.coded
    if operation is op.COMPLETION:
        # Each of several prompts may be as long as the longest.
        return tokens, is_open
    if longest is None:
        return tokens, is_open
    return longest if is_open or tokens > longest else tokens, False


def _extra(bounds: _Bounds) -> str | None:
    """The parameter that makes it dearer, or lets nobody hear of what it costs."""
    for name, usual in USUAL.items():
        asked = getattr(bounds, name)
        if isinstance(asked, dict):
            # Bedrock's.
            asked = asked.get("type")
        if asked is not None and (not isinstance(asked, str) or asked.lower() not in usual):
            return name
    return "background" if bounds.background else None


def _prompts(bounds: _Bounds, operation: Operation) -> int:
    """How many prompts are answered one by one."""
    if operation is not op.COMPLETION or _first(bounds.prompt) != b"[":
        return 1
    prompts = _RAWS.decode(bounds.prompt)
    return max(1, len(prompts)) if prompts and _first(prompts[0]) in (b'"', b"[") else 1


def _queries(bounds: _Bounds, size: int) -> int:
    """How many queries so many documents are charged as."""
    documents = len(_RAWS.decode(bounds.documents)) if _first(bounds.documents) == b"[" else 1
    return (documents + size // BYTES_PER_CHUNK) // DOCUMENTS_PER_QUERY + 1


def _output(rates: Rates, bounds: _Bounds) -> int:
    """Tokens that the answer has at most, if its caller has bounded it; else those that it usually has."""
    most, times = 0, 1
    for asked in (bounds.max_tokens, bounds.max_completion_tokens, bounds.max_output_tokens):
        if asked is not None and (count := _count(asked)) > most:
            most = count
    if bounds.n is not None or bounds.best_of is not None:
        times = max(1, _count(bounds.n), _count(bounds.best_of))
    if bounds.generationConfig is not None or bounds.generation_config is not None:
        # Whoever translates it may take either.
        for google in (bounds.generationConfig, bounds.generation_config):
            if isinstance(google, dict):
                most = max(most, _count(google.get("maxOutputTokens")), _count(google.get("max_output_tokens")))
                times = max(times, _count(google.get("candidateCount")), _count(google.get("candidate_count")))
    most = max(most or rates.usual_output, rates.least_output)
    longest = rates.most_output
    return times * (most if longest is None or most < longest else longest)


def _of_text(rates: Rates, text: _Text, size: int, text_bytes: int) -> Estimate:
    """The usual case, which would come out the same in the general way."""
    made = max(text.max_tokens, text.max_completion_tokens, text.max_output_tokens) or rates.usual_output
    made = max(made, rates.least_output)
    if rates.most_output is not None and made > rates.most_output:
        made = rates.most_output
    most = size if rates.most_input is None or size < rates.most_input else rates.most_input
    given = estimate_tokens(text_bytes) + (size - text_bytes) // BYTES_PER_ATTACHED_TOKEN
    picos = rates.query + rates.given * most + rates.made * made
    return Estimate(min(given + made, MOST), min(-(-picos // PICO_PER_NANO), MOST))


def _text(body: bytes) -> _Text | None:
    """A conversation that is seen in one pass to have nothing but text."""
    # Names that are spelled with escapes are for those who look closer.
    if b"\\" in body and b"\\u" in body:
        return None
    try:
        return _TEXT.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _bounds(body: bytes) -> _Bounds:
    try:
        return _BOUNDS.decode(body) if body else _UNBOUNDED
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        # Others may read it: numbers that are out of range here, text that is half a character.
        return _UNREADABLE


def _count(value: Any) -> int:
    if type(value) is int and 0 < value < MAX_COUNT:
        return value
    if type(value) is str:
        # Some servers read such text as the number that it is.
        try:
            value = float(value)
        except ValueError:
            return 0
    return ceil(min(value, MAX_COUNT)) if type(value) in (int, float) and value > 0 else 0


def _first(raw: msgspec.Raw) -> bytes:
    """The byte that a value begins with."""
    return bytes(memoryview(raw)[:1])


def _longest(one: int | None, other: int | None) -> int | None:
    return None if one is None or other is None else max(one, other)


def _modes(price: Price) -> Iterator[Mode]:
    """What is sold at a price that is known."""
    given, made = price.input_usd_per_token is not None, price.output_usd_per_token is not None
    details = price.details
    if given and made:
        yield from ("chat", "completion", "responses")
    if given or price.usd_per_query is not None:
        yield from ("embedding", "moderation", "rerank")
    if made or price.usd_per_image is not None or (details and details.image_output_usd_per_token is not None):
        yield "image_generation"
    if given or price.usd_per_character is not None:
        yield "audio_speech"
    if given or price.usd_per_second is not None:
        yield "audio_transcription"


def _prices_given(price: Price) -> Iterator[Decimal | None]:
    yield price.input_usd_per_token
    yield price.cached_input_usd_per_token
    details = price.details
    if details is not None:
        yield details.cache_write_usd_per_token
        yield details.cache_write_1h_usd_per_token
        yield details.audio_input_usd_per_token
        yield details.image_input_usd_per_token
        for tier in details.tiers:
            yield from _prices_given(tier.price)


def _prices_made(price: Price) -> Iterator[Decimal | None]:
    yield price.output_usd_per_token
    details = price.details
    if details is not None:
        yield details.reasoning_usd_per_token
        yield details.audio_output_usd_per_token
        yield details.image_output_usd_per_token
        for tier in details.tiers:
            yield from _prices_made(tier.price)


def _dearest(prices: Iterable[Decimal | None]) -> int:
    dearest = max((one for one in prices if one is not None), default=Decimal(0))
    return int((dearest * PICO).to_integral_value(ROUND_CEILING))
