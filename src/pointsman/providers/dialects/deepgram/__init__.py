"""Deepgram's API, version 1: listen, for sound that was recorded, and speak.

Sources: https://developers.deepgram.com/reference/speech-to-text/listen-pre-recorded,
https://developers.deepgram.com/reference/text-to-speech/speak-request and the types of Deepgram's Python SDK 7.17.
"""

from __future__ import annotations

from typing import Final

from pointsman.providers.dialects.deepgram import speech, transcription

__all__ = ["NAME", "speech", "transcription"]

NAME: Final = "deepgram"
