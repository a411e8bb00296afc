"""ElevenLabs' API, version 1: speech to text and text to speech.

Sources: https://elevenlabs.io/docs/api-reference/speech-to-text/convert,
https://elevenlabs.io/docs/api-reference/text-to-speech/convert and the types of ElevenLabs' Python SDK 2.78.
"""

from __future__ import annotations

from typing import Final

from pointsman.providers.dialects.elevenlabs import speech, transcription

__all__ = ["NAME", "speech", "transcription"]

NAME: Final = "elevenlabs"
