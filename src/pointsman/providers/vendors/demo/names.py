"""The demo's models and how they differ."""

from __future__ import annotations

import msgspec

from pointsman.errors import InvalidRequest, ModelNotFound
from pointsman.wire.operations import Mode


class DemoModel(msgspec.Struct, frozen=True, kw_only=True):
    """One model of the demo. Delays are seconds: they make a stream look like one."""

    name: str
    mode: Mode
    paragraphs: int = 1
    first_delay: float = 0.0
    word_delay: float = 0.0


MODELS: tuple[DemoModel, ...] = (
    DemoModel(name="small", mode="chat", paragraphs=1, first_delay=0.01, word_delay=0.001),
    DemoModel(name="medium", mode="chat", paragraphs=2, first_delay=0.02, word_delay=0.002),
    DemoModel(name="large", mode="chat", paragraphs=4, first_delay=0.04, word_delay=0.004),
    DemoModel(name="embed", mode="embedding"),
    DemoModel(name="rerank", mode="rerank"),
    DemoModel(name="moderation", mode="moderation"),
    DemoModel(name="image", mode="image_generation"),
    DemoModel(name="speech", mode="audio_speech"),
    DemoModel(name="transcribe", mode="audio_transcription"),
)


def find_model(name: object, mode: Mode) -> DemoModel:
    """The model called ``name`` (``demo/`` before it is accepted); without a name the first of that mode.

    Raises ``ModelNotFound`` for an unknown one and ``InvalidRequest`` for one that does something else.
    """
    if name is None:
        return next(model for model in MODELS if model.mode == mode)
    if not isinstance(name, str):
        raise InvalidRequest("model must be a text", param="model")
    bare = name.removeprefix("demo/")
    for model in MODELS:
        if model.name == bare:
            if model.mode != mode:
                raise InvalidRequest(f"The demo model {bare} is for {model.mode}, not for {mode}", param="model")
            return model
    known = ", ".join(model.name for model in MODELS)
    raise ModelNotFound(f"The demo has no model {bare[:64]!r}; it has {known}", param="model")
