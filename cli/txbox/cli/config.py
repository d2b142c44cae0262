"""`txbox config`: what is set, and where."""

from typing import Any

import click
from click.core import ParameterSource
from psycopg.conninfo import make_conninfo

from txbox.cli.options import State, Values, settings
from txbox.cli.output import output_option
from txbox.cli.output import show as show_rows
from txbox.cli.settings import CLIENT, SETTINGS, Quantity, Setting, client_files, client_from_env
from txbox.daemon import Database, UnfitUrl

_ORIGINS = {
    ParameterSource.COMMANDLINE: "command line",
    ParameterSource.ENVIRONMENT: "environment",
    ParameterSource.DEFAULT_MAP: "file",
    ParameterSource.DEFAULT: "default",
}

#: parts of librdkafka settings' names whose values nobody should see
_SECRET = ("password", "passphrase", "secret", "key.pem", "token", "oauthbearer", "jaas")
_MASKED = "***"


@click.group()
def config() -> None:
    """What is set, and where."""


@config.command()
@settings("database", "kafka", "relay", "consumer", "http", "log")
@click.option("--origin", is_flag=True, help="Show also where each value comes from.")
@output_option
@click.pass_context
def show(ctx: click.Context, values: Values, origin: bool) -> None:
    """Every setting as it is in force here. Secrets are masked."""
    rows: list[dict[str, Any]] = []
    for key, value in values.by_key.items():
        source = ctx.get_parameter_source(SETTINGS[key].name)
        rows.append({"key": key, "value": _shown(SETTINGS[key], value), "origin": _ORIGINS.get(source, "?")})  # type: ignore[arg-type]  # None is "?"
    state = ctx.find_object(State) or State()
    from_env = {**client_from_env(), **dict.fromkeys(client_files(), _MASKED)}
    for source_name, client in (("file", state.file.get(CLIENT, {})), ("environment", from_env)):
        for name, value in client.items():
            masked = _MASKED if any(part in name.lower() for part in _SECRET) else value
            rows.append({"key": f"{CLIENT}.{name}", "value": masked, "origin": source_name})
    show_rows(rows, columns=("key", "value", "origin") if origin else ("key", "value"))


def _shown(setting: Setting, value: Any) -> Any:
    """Return a value as it would be written in the file, without its password."""
    if value is None:
        return "9464 (relay), 9465 (consume)" if setting.key == "http.port" else None
    if isinstance(setting.type, Quantity):
        return setting.type.show(value)
    if setting.secret:
        try:
            parts = Database(url=value).parameters()
        except UnfitUrl:  # whatever it is, a part of it may be a password
            return _MASKED
        hidden = {name: _MASKED for name in parts if "password" in name}
        return make_conninfo("", **{**parts, **hidden}) if hidden else value
    return "off" if setting.key == "http.port" and value == -1 else value
