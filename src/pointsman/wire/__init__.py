"""Bytes and their meaning: pure decoders and encoders that every layer may use.

Nothing here does I/O. A decoder is fed bytes and gives values; it keeps what it could not use yet.
Only the fields that the gateway acts on are read; the rest of a body is carried untouched.
"""
