"""What the environment says beyond the options: librdkafka's settings, and values that are in files."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import click

__all__ = ["client_files", "client_from_env", "secret_from"]

_CLIENT_ENV: Final = "TXBOX_KAFKA__CLIENT__"


def client_from_env() -> dict[str, str]:
    """Return librdkafka settings from the environment: TXBOX_KAFKA__CLIENT__SASL_PASSWORD is sasl.password."""
    found = {name: value for name, value in _from_env() if not name.endswith("_FILE")}
    return {_dotted(name): value for name, value in found.items()}


def client_files() -> dict[str, Path]:
    """Return where others are: TXBOX_KAFKA__CLIENT__SASL_PASSWORD_FILE names a file. Raises click.UsageError."""
    found = {name: value for name, value in _from_env() if name.endswith("_FILE")}
    for name, value in found.items():
        secret_from(f"{_CLIENT_ENV}{name}", value)
    return {_dotted(name.removesuffix("_FILE")): Path(value) for name, value in found.items()}


def _from_env() -> Iterator[tuple[str, str]]:
    for name, value in os.environ.items():
        if name.startswith(_CLIENT_ENV):
            yield name.removeprefix(_CLIENT_ENV), value


def _dotted(name: str) -> str:
    return name.lower().replace("_", ".")


def secret_from(variable: str, path: str) -> str:
    """Return what a file holds, without the line's end. Raises click.UsageError."""
    try:
        return Path(path).read_text("utf-8").strip()
    except (OSError, ValueError) as error:  # ValueError: what is no UTF-8, a path with a NUL
        raise click.UsageError(f"{variable}: cannot read {path} ({type(error).__name__})") from error
