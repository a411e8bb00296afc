"""The files that the AWS command line keeps: ``~/.aws/credentials`` and ``~/.aws/config``.

Source: docs.aws.amazon.com/cli/latest/userguide/cli-configure-files.html.
"""

from __future__ import annotations

import configparser

from pointsman.upstream.credentials.base import refused
from pointsman.upstream.credentials.tokens import is_file, read_file

DEFAULT = "default"


def read_profile(name: str | None, credentials_file: str | None, config_file: str | None) -> dict[str, str] | None:
    """What a profile says in both files; the credentials file goes first.

    ``None``: no name was given, and there is no default profile.

    :raises UpstreamError: a file cannot be read, or has no profile of that name
    """
    called = name or DEFAULT
    section = called if called == DEFAULT else f"profile {called}"
    found = _section(config_file, section) | _section(credentials_file, called)
    if not found and name is not None:
        raise refused(f"no AWS profile is called {called}")
    return found or None


def _section(path: str | None, name: str) -> dict[str, str]:
    if path is None or not is_file(path):
        return {}
    parser = configparser.ConfigParser(interpolation=None, strict=False, default_section="")
    try:
        parser.read_string(read_file(path))
    except configparser.Error:
        # Without its cause, which quotes the line.
        raise refused(f"{path} is not a file of AWS profiles") from None
    return dict(parser[name]) if parser.has_section(name) else {}
