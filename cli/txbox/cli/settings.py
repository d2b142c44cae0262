"""Every setting once: its key, type, default and help. Options, environment, file and documents all come from here.

A value is looked for on the command line, in the environment, in the file, and then here.
"""

import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import click

from txbox.cli.typos import meant
from txbox.consumer import ConsumerConfig
from txbox.relay import RelayConfig

__all__ = [
    "CLIENT",
    "SETTINGS",
    "Duration",
    "Port",
    "Setting",
    "Size",
    "read_file",
]

#: the free table of librdkafka's own settings
CLIENT: Final = "kafka.client"


class Quantity(click.ParamType[Any]):
    """A number with a unit. A bare number is refused (30 what?), but 0 is 0 of anything."""

    units: Mapping[str, float]

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        text = str(value).strip()
        if text == "0":
            return 0.0
        match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([A-Za-z]*)", text)
        if not match or match[2] not in self.units:
            hint = f"; did you mean {text}{next(iter(self.units))}?" if match and not match[2] else ""
            self.fail(
                f"{text!r} is no {self.name}: write a number with one of {', '.join(self.units)}{hint}", param, ctx
            )
        return float(match[1]) * self.units[match[2]]

    def show(self, value: float) -> str:
        """Return the value as people would write it."""
        fitting = [(unit, size) for unit, size in self.units.items() if value >= size and (value / size).is_integer()]
        unit, size = max(fitting, key=lambda pair: pair[1], default=(next(iter(self.units)), 1.0))
        return f"{value / size:.15g}{unit}"


class Duration(Quantity):
    """Seconds, as a float."""

    name = "duration"
    units = {"s": 1.0, "ms": 0.001, "m": 60.0, "h": 3600.0, "d": 86400.0}  # noqa: RUF012  # never written to

    def show(self, value: float) -> str:
        return f"{value * 1000:.15g}ms" if 0 < value < 1 else super().show(value)


class Size(Quantity):
    """Bytes, as an int."""

    name = "size"
    units = {"B": 1.0, "kB": 1e3, "MB": 1e6, "GB": 1e9, "KiB": 2.0**10, "MiB": 2.0**20, "GiB": 2.0**30}  # noqa: RUF012

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        return int(super().convert(value, param, ctx))


class Port(click.ParamType[int]):
    """A port, 0 for any free one, or `off` (-1)."""

    name = "port"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if value in ("off", -1):
            return -1
        if not str(value).isdecimal() or int(value) > 65535:
            self.fail(f"{value!r} is no port: write 0 to 65535, or off", param, ctx)
        return int(value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One thing that can be set."""

    #: as in the file: section.name
    key: str
    #: on the command line
    flag: str
    #: as it is written in a file; None: there is none
    default: str | bool | None
    help: str
    type: click.ParamType[Any] = click.STRING
    #: further environment variables, after our own
    env: tuple[str, ...] = ()
    #: whether to mask it
    secret: bool = False

    @property
    def name(self) -> str:
        """The parameter's name in commands."""
        return self.key.replace(".", "__")

    @property
    def flag_of_section(self) -> str:
        """The flag where another section has the same one."""
        return f"--{self.key.partition('.')[0]}-{self.flag.removeprefix('--')}"

    @property
    def envvars(self) -> list[str]:
        """Environment variables, the first that is set counts."""
        return [f"TXBOX_{self.name.upper()}", *self.env]

    def file(self) -> tuple[str, str] | None:
        """Return the variable <VARIABLE>_FILE that is set, the first one, and the path in it."""
        names = (f"{variable}_FILE" for variable in self.envvars)
        return next(((name, path) for name in names if (path := os.environ.get(name))), None)


_relay, _consumer = RelayConfig(), ConsumerConfig()
_seconds, _bytes = Duration(), Size()
_number = click.IntRange(min=1)

_TABLE: Final = (
    Setting(
        key="database.url",
        flag="--database-url",
        default=None,
        help="PostgreSQL, as a URL or key=value; PGHOST and its like count too.",
        env=("DATABASE_URL",),
        secret=True,
    ),
    Setting(key="database.schema", flag="--schema", default="txbox", help="PostgreSQL schema of the tables."),
    Setting(
        key="database.statement_timeout",
        flag="--statement-timeout",
        default="30s",
        help="Longest time for one SQL statement.",
        type=_seconds,
    ),
    Setting(
        key="kafka.bootstrap_servers",
        flag="--bootstrap-servers",
        default=None,
        help="Kafka brokers, host:port,...",
        env=("KAFKA_BOOTSTRAP_SERVERS",),
    ),
    Setting(key="relay.name", flag="--name", default=_relay.name, help="Whose cursor: relays of one name take turns."),
    Setting(key="relay.batch", flag="--batch", default=str(_relay.batch), help="Rows a statement.", type=_number),
    Setting(
        key="relay.poll_min",
        flag="--poll-min",
        default=_seconds.show(_relay.poll_min),
        help="Wait between polls while rows come, from 1ms.",
        type=_seconds,
    ),
    Setting(
        key="relay.poll_max",
        flag="--poll-max",
        default=_seconds.show(_relay.poll_max),
        help="Longest wait between polls when none come, to 10s.",
        type=_seconds,
    ),
    Setting(
        key="relay.in_flight",
        flag="--in-flight",
        default=str(_relay.in_flight),
        help="Messages published ahead of Kafka's acks.",
        type=_number,
    ),
    Setting(
        key="relay.in_flight_size",
        flag="--in-flight-size",
        default=_bytes.show(_relay.in_flight_size),
        help="Their payloads together.",
        type=_bytes,
    ),
    Setting(
        key="relay.save_every",
        flag="--save-every",
        default=_seconds.show(_relay.save_every),
        help="Shortest time between saves of the cursor; what is unsaved is repeated after a crash.",
        type=_seconds,
    ),
    Setting(
        key="relay.drain_timeout",
        flag="--drain-timeout",
        default=_seconds.show(_relay.drain_timeout),
        help="How long to wait for acks when asked to stop.",
        type=_seconds,
    ),
    Setting(
        key="relay.retention",
        flag="--retention",
        default=_seconds.show(_relay.retention),
        help="Age at which rows that every relay has published are deleted; 0 keeps them.",
        type=_seconds,
    ),
    Setting(
        key="relay.on_undeliverable",
        flag="--on-undeliverable",
        default=_relay.on_undeliverable,
        help="A message that Kafka refuses: stop before it, or hold it and those behind it in its key.",
        type=click.Choice(["block", "hold"]),
    ),
    Setting(key="relay.topic", flag="--topic", default=_relay.topic, help="Topic of rows that name an aggregate only."),
    Setting(
        key="relay.create_topics",
        flag="--create-topics/--no-create-topics",
        default=_relay.create_topics,
        help="Make topics that are missing.",
        type=click.BOOL,
    ),
    Setting(
        key="relay.partitions",
        flag="--partitions",
        default=str(_relay.partitions),
        help="Partitions of topics that the relay makes.",
        type=_number,
    ),
    Setting(
        key="relay.replication",
        flag="--replication",
        default=str(_relay.replication),
        help="Their replication factor, -1 for the broker's default.",
        type=click.IntRange(min=-1),
    ),
    Setting(
        key="consumer.max_batch",
        flag="--max-batch",
        default=str(_consumer.max_batch),
        help="Messages in one transaction, at most.",
        type=_number,
    ),
    Setting(
        key="consumer.transaction",
        flag="--transaction",
        default=_seconds.show(_consumer.transaction),
        help="How long a transaction should last; decides how many messages go into one.",
        type=_seconds,
    ),
    Setting(
        key="consumer.handler_timeout",
        flag="--handler-timeout",
        default=_seconds.show(_consumer.handler_timeout),
        help="How long one handler may take.",
        type=_seconds,
    ),
    Setting(
        key="consumer.attempts",
        flag="--attempts",
        default=str(_consumer.attempts),
        help="Runs of a message's handler before the message is dead.",
        type=_number,
    ),
    Setting(
        key="consumer.backoff_first",
        flag="--backoff-first",
        default=_seconds.show(_consumer.backoff_first),
        help="Wait before a message that failed is tried again; doubles.",
        type=_seconds,
    ),
    Setting(
        key="consumer.backoff_cap",
        flag="--backoff-cap",
        default=_seconds.show(_consumer.backoff_cap),
        help="The longest such wait.",
        type=_seconds,
    ),
    Setting(
        key="consumer.max_held_key",
        flag="--max-held-key",
        default=str(_consumer.max_held_key),
        help="Messages that may wait behind one of their key; then their partition does.",
        type=_number,
    ),
    Setting(
        key="consumer.max_held",
        flag="--max-held",
        default=str(_consumer.max_held),
        help="Messages that may be held in all; then everything waits until there are fewer.",
        type=_number,
    ),
    Setting(
        key="consumer.dead_letter_topic",
        flag="--dead-letter-topic",
        default=None,
        help="Where copies of dead messages go, e.g. {topic}.{consumer}.dlt; none by default.",
    ),
    Setting(
        key="consumer.drain_timeout",
        flag="--drain-timeout",
        default=_seconds.show(_consumer.drain_timeout),
        help="How long to wait for the batch under way when asked to stop.",
        type=_seconds,
    ),
    Setting(
        key="consumer.session_timeout",
        flag="--session-timeout",
        default=_seconds.show(_consumer.session_timeout),
        help="How long Kafka waits for a sign of life before others get the partitions.",
        type=_seconds,
    ),
    Setting(
        key="consumer.instance_id",
        flag="--instance-id",
        default=None,
        help="A name that stays over restarts, so that a restart needs no rebalance.",
    ),
    Setting(key="http.host", flag="--http-host", default="127.0.0.1", help="Where /metrics, /livez, /readyz listen."),
    Setting(
        key="http.port",
        flag="--http-port",
        default=None,
        help="Their port; 0 for any free one, off for none.",
        type=Port(),
    ),
    Setting(
        key="log.level",
        flag="--log-level",
        default="info",
        help="What to log.",
        type=click.Choice(["debug", "info", "warning", "error"]),
    ),
    Setting(
        key="log.format",
        flag="--log-format",
        default="auto",
        help="auto: console on a terminal, else json.",
        type=click.Choice(["auto", "console", "json"]),
    ),
)

SETTINGS: Final[Mapping[str, Setting]] = {setting.key: setting for setting in _TABLE}


def read_file(path: Path) -> dict[str, Any]:
    """Return a TOML file's settings by key. Raises click.UsageError that names what is wrong, and what was meant."""
    try:
        sections = tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise click.UsageError(f"{path}: {error}") from error
    found: dict[str, Any] = {}
    for section, content in sections.items():
        if not isinstance(content, dict):
            raise click.UsageError(f"{path}: {section!r} stands outside a section, such as [relay]")
        found |= {f"{section}.{name}": value for name, value in content.items()}
    for key in found:
        if key not in SETTINGS and key != CLIENT:
            raise click.UsageError(f"{path}: unknown setting {key!r}{meant(key, [*SETTINGS, CLIENT])}")
    client = found.get(CLIENT, {})
    if not isinstance(client, dict):
        raise click.UsageError(f"{path}: [kafka.client] is a table of librdkafka settings")
    return {**found, CLIENT: dict(_flat(client))}


def _flat(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield librdkafka's dotted names: TOML reads sasl.username = "x" as a table in a table."""
    for name, value in table.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
