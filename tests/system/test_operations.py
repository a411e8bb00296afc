"""Embeddings, ranking and sound of providers that have each in a shape of their own."""

from __future__ import annotations

from collections.abc import Iterator

import cohere
import openai
import pytest
from openai.types.audio import TranscriptionVerbose
from system.conftest import MASTER_KEY
from system.fakes.sound import HEARD, SPOKEN, VOICE
from system.process import Gateway

SOUND = ("ansage.mp3", b"ID3\x03\0" * 1000, "audio/mpeg")
EMBEDS = ("gemini", "converse", "cohere", "ollama", "voyage", "jina")
RANKS = ("cohere", "voyage", "jina")
HEARS = ("deepgram", "elevenlabs")


@pytest.fixture
def gpt(dialects: Gateway) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{dialects.base_url}/v1", api_key=MASTER_KEY, max_retries=0, timeout=20) as sdk:
        yield sdk


@pytest.mark.requirement("embeddings.dialects", "gemini.embeddings")
@pytest.mark.parametrize("provider", EMBEDS)
def test_a_text_is_embedded(gpt: openai.OpenAI, provider: str) -> None:
    answer = gpt.embeddings.create(model=f"embeds-{provider}", input="Is the line clear?")
    assert [one.embedding for one in answer.data] == [[0.25, -0.5]]
    assert answer.model == f"embeds-{provider}"
    assert answer.usage.prompt_tokens > 0 or provider == "gemini"


@pytest.mark.requirement("embeddings.dialects")
@pytest.mark.parametrize("provider", [one for one in EMBEDS if one != "converse"])
def test_several_texts_are_embedded_as_floats(gpt: openai.OpenAI, provider: str) -> None:
    answer = gpt.embeddings.create(model=f"embeds-{provider}", input=["a", "b"], encoding_format="float")
    assert [(one.index, one.embedding) for one in answer.data] == [(0, [0.25, -0.5]), (1, [0.25, -0.5])]


@pytest.mark.requirement("rerank.dialects")
@pytest.mark.parametrize("provider", RANKS)
def test_coheres_sdk_ranks_with_any_provider(dialects: Gateway, provider: str) -> None:
    with cohere.ClientV2(api_key=MASTER_KEY, base_url=dialects.base_url) as client:
        answer = client.rerank(
            model=f"ranks-{provider}", query="signal", documents=["a box", "the signal", "a train"], top_n=2
        )
    assert [(result.index, result.relevance_score) for result in answer.results] == [(1, 0.9), (0, 0.1)]


@pytest.mark.requirement("rerank.dialects")
@pytest.mark.parametrize("provider", RANKS)
def test_documents_come_back_where_they_are_asked_for(dialects: Gateway, provider: str) -> None:
    body = {"model": f"ranks-{provider}", "query": "signal", "documents": ["a", "signal"], "return_documents": True}
    reply = dialects.post("/v1/rerank", body)
    assert reply.status == 200, reply.body
    assert reply.json["results"][0]["document"] == {"text": "signal"}


@pytest.mark.requirement("audio.dialects")
@pytest.mark.parametrize("provider", HEARS)
def test_speech_is_transcribed(gpt: openai.OpenAI, provider: str) -> None:
    assert gpt.audio.transcriptions.create(model=f"hears-{provider}", file=SOUND).text == HEARD


@pytest.mark.requirement("audio.dialects")
@pytest.mark.parametrize("provider", HEARS)
def test_a_transcription_comes_in_detail_and_as_subtitles(gpt: openai.OpenAI, provider: str) -> None:
    answer = gpt.audio.transcriptions.create(
        model=f"hears-{provider}", file=SOUND, response_format="verbose_json", timestamp_granularities=["word"]
    )
    assert isinstance(answer, TranscriptionVerbose)
    assert [(word.word, word.start) for word in answer.words or ()] == [("Alle", 0.1), ("einsteigen.", 0.6)]
    srt = gpt.audio.transcriptions.create(model=f"hears-{provider}", file=SOUND, response_format="srt")
    assert str(srt).startswith("1\n00:00:00,100 --> 00:00:01,400\nAlle einsteigen.")


@pytest.mark.requirement("audio.dialects")
@pytest.mark.parametrize(("provider", "voice"), [("deepgram", "thalia"), ("elevenlabs", VOICE)])
def test_text_is_spoken(gpt: openai.OpenAI, provider: str, voice: str) -> None:
    answer = gpt.audio.speech.create(model=f"speaks-{provider}", voice=voice, input="Mind the gap")
    assert answer.content == SPOKEN
    assert answer.response.headers["content-type"] == "audio/mpeg"


@pytest.mark.requirement("translation.refused")
@pytest.mark.parametrize("model", ["via-anthropic", "embeds-voyage"])
def test_what_a_provider_does_not_do_is_a_400_that_says_so(gpt: openai.OpenAI, model: str) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        gpt.audio.speech.create(model=model, voice="alloy", input="Mind the gap")
    assert caught.value.code == "unsupported_operation"
