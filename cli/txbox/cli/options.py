"""Settings as click options, and what commands make of them."""

import os
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from txbox.cli.environment import client_files, client_from_env, secret_from
from txbox.cli.settings import CLIENT, SETTINGS, Setting
from txbox.consumer import ConsumerConfig
from txbox.daemon import Database, Http, Kafka, UnfitUrl
from txbox.relay import RelayConfig, UnfitWait

__all__ = ["State", "Values", "settings"]

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(slots=True, kw_only=True)
class State:
    """What the options before the command say; `ctx.obj`."""

    #: the settings' file, and what it says, by key
    path: Path | None = None
    file: Mapping[str, Any] = field(default_factory=dict)
    #: what is wrong with it, for the doctor to tell; every other command ends with that
    broken: str | None = None
    #: table or json
    output: str = "table"
    color: bool = True
    #: counted -v, less counted -q
    verbosity: int = 0


class _Option(click.Option):
    """An option that also looks into `<VARIABLE>_FILE` and into the file."""

    def __init__(self, setting: Setting, flag: str, default: Any) -> None:
        super().__init__(
            [flag, setting.name],
            type=setting.type,
            default=default,
            show_default=default is not None,
            envvar=setting.envvars,
            show_envvar=True,
            help=setting.help,
        )
        self.setting = setting

    def resolve_envvar_value(self, ctx: click.Context) -> str | None:
        """Return the value that the environment gives, read from the file that <VARIABLE>_FILE names if that is set."""
        if found := self.setting.file():
            return secret_from(*found)
        return super().resolve_envvar_value(ctx)

    def consume_value(self, ctx: click.Context, opts: Mapping[str, Any]) -> tuple[Any, ParameterSource]:
        """Return the value and where it was found."""
        value, source = super().consume_value(ctx, opts)
        state = ctx.find_object(State)
        if source is not ParameterSource.DEFAULT or state is None or self.setting.key not in state.file:
            return value, source
        value = state.file[self.setting.key]
        if isinstance(value, list | dict):
            raise click.UsageError(f"{state.path}: {self.setting.key} is one value, and not several")
        value = value if isinstance(value, bool) else str(value)
        try:
            self.type.convert(value, self, ctx)
        except click.BadParameter as error:  # which would name the environment's variable
            raise click.UsageError(f"{state.path}: {self.setting.key}: {error.message}") from error
        return value, ParameterSource.DEFAULT_MAP


def settings(*sections: str, **defaults: Any) -> Callable[[F], F]:
    """Give a command the options of these sections (or single keys), and their values as its argument `values`.

    `defaults` are other defaults for single settings, by their names.
    """
    chosen = [s for s in SETTINGS.values() if s.key in sections or s.key.partition(".")[0] in sections]
    common = Counter(setting.flag for setting in chosen)

    def decorate(command: F) -> F:
        def collecting(*args: Any, **kwargs: Any) -> Any:
            values = Values({setting.key: kwargs.pop(setting.name) for setting in chosen})
            return command(*args, values=values, **kwargs)

        collecting.__name__, collecting.__doc__ = command.__name__, command.__doc__
        collecting.__click_params__ = getattr(command, "__click_params__", [])  # type: ignore[attr-defined]
        for setting in reversed(chosen):
            # of a relay's and a consumer's in one command, each says whose it is
            flag = setting.flag if common[setting.flag] == 1 else setting.flag_of_section
            option = _Option(setting, flag, defaults.get(setting.name, setting.default))
            collecting.__click_params__.append(option)  # type: ignore[attr-defined]
        return collecting  # type: ignore[return-value]

    return decorate


class Values:
    """The values of a command's settings, and the records that the library takes."""

    def __init__(self, by_key: Mapping[str, Any]) -> None:
        self.by_key = by_key

    def database(self) -> Database:
        """Return which database. Raises click.UsageError if nothing names one."""
        url = self.by_key["database.url"]
        if url is None and not any(name in os.environ for name in ("PGHOST", "PGDATABASE", "PGSERVICE")):
            raise click.UsageError(
                "no database: give --database-url, DATABASE_URL, or database.url in txbox.toml "
                "(to try things: txbox sandbox up)"
            )
        context = click.get_current_context()
        from_env = context.get_parameter_source("database__url") is ParameterSource.ENVIRONMENT
        file = SETTINGS["database.url"].file() if from_env else None
        database = Database(
            url=url or "",
            schema=self.by_key["database.schema"],
            statement_timeout=self.by_key["database.statement_timeout"],
            url_file=Path(file[1]) if file else None,
        )
        try:
            database.parameters()
        except UnfitUrl as error:
            raise click.UsageError(str(error)) from error
        return database

    def kafka(self) -> Kafka:
        """Return which cluster. Raises click.UsageError if nothing names one."""
        servers = self.by_key["kafka.bootstrap_servers"]
        if not servers:
            raise click.UsageError(
                "no Kafka: give --bootstrap-servers, KAFKA_BOOTSTRAP_SERVERS, or kafka.bootstrap_servers in txbox.toml"
            )
        state = click.get_current_context().find_object(State) or State()
        client = {**state.file.get(CLIENT, {}), **client_from_env()}
        return Kafka(bootstrap_servers=servers, client=client, files=client_files())

    def relay(self) -> RelayConfig:
        """Return what is set about the relay. Raises click.UsageError if a value is out of its range."""
        try:
            return RelayConfig(**self._section("relay"))
        except UnfitWait as error:
            raise click.UsageError(str(error)) from error

    def consumer(self) -> ConsumerConfig:
        """Return what is set about the consumer."""
        return ConsumerConfig(**self._section("consumer"))

    def http(self) -> Http:
        """Return where to listen."""
        port = self.by_key["http.port"]
        return Http(host=self.by_key["http.host"], port=None if port == -1 else port)

    def _section(self, section: str) -> dict[str, Any]:
        prefix = f"{section}."
        return {key.removeprefix(prefix): value for key, value in self.by_key.items() if key.startswith(prefix)}
