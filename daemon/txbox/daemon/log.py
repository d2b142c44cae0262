"""The daemons' log: one event a line, for people on a terminal, as JSON elsewhere. Payloads are never logged.

Libraries of ours log to standard loggers and configure nothing; only a process of ours calls `configure`.
"""

import logging
import sys
from typing import Literal

import structlog

__all__ = ["Format", "configure", "plain"]

Format = Literal["auto", "console", "json"]


def configure(level: str = "info", format: Format = "auto") -> None:  # noqa: A002  # the option's name
    """Send every logger's events of at least `level` to stderr; `auto` is console on a terminal and JSON elsewhere."""
    console = format == "console" or (format == "auto" and sys.stderr.isatty())
    shared: list[structlog.typing.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.stdlib.ExtraAdder(),
        structlog.processors.format_exc_info,
    ]
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty()) if console else structlog.processors.JSONRenderer()
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, _harmless, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())


def plain(text: str) -> str:
    """Return text that cannot steer a terminal: keys, types and payloads are whatever some producer put there."""
    return "".join(c if c.isprintable() or c in "\n\t" else ascii(c)[1:-1] for c in text)


def _harmless(_logger: object, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    return {name: plain(value) if isinstance(value, str) else value for name, value in event.items()}
