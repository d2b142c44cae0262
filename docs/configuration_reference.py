"""Make docs/configuration.md from the table of settings: `python -m docs.configuration_reference`, or `--check`."""

import sys
from collections.abc import Iterator
from pathlib import Path

from docs.made import keep
from txbox.cli.settings import SETTINGS, Setting
from txbox.daemon.kafka import refused

_SECTIONS = {
    "database": "PostgreSQL. All commands take these.",
    "kafka": "Kafka. Beside this there is the table `[kafka.client]`, see below.",
    "relay": "`txbox relay run`.",
    "consumer": "`txbox consume`.",
    "http": "Where both daemons serve `/metrics`, `/livez` and `/readyz`.",
    "log": "What both daemons log, on stderr.",
}

_HEAD = """\
# Configuration

Made by `python -m docs.configuration_reference`.

Every setting is an option, an environment variable and a key of a file. What is looked for first wins:

1. the option of the command, such as `--retention 3d`
2. the environment: `TXBOX_` and the key in capitals, `__` for the dot, such as `TXBOX_RELAY__RETENTION=3d`. With
   `_FILE` behind it, it is a path whose content is the value: `TXBOX_DATABASE__URL_FILE=/run/secrets/url`. If both are
   set, the file counts
3. the settings' file: `--config`, else `TXBOX_CONFIG`, else `txbox.toml` in the current folder
4. the default

```toml
[database]
schema = "txbox"

[relay]
retention = "3d"
in_flight_size = "50MB"

[kafka.client]
"security.protocol" = "SASL_SSL"
"sasl.mechanism" = "SCRAM-SHA-512"
"sasl.username" = "relay"
```

A duration has a unit (`ms`, `s`, `m`, `h`, `d`), and so has a size (`B`, `kB`, `MB`, `GB`, `KiB`, `MiB`, `GiB`); a bare
number is refused, but 0. A key that does not exist is an error that names the nearest one. What is in force, and why:

```sh
txbox config show --origin
```
"""

_CLIENT = """\
## kafka.client

Any setting of librdkafka's, as it is written there: TLS, SASL, timeouts, compression. In the environment `_` stands for
the dots: `TXBOX_KAFKA__CLIENT__SASL_PASSWORD`, or `TXBOX_KAFKA__CLIENT__SASL_PASSWORD_FILE` for a path. These are
refused, since a promise or another setting depends on them:

| setting | why |
|---|---|
"""


def text() -> str:
    """Return the page as it should be."""
    return _HEAD + "".join(_sections()) + "\n" + _CLIENT + "".join(f"| `{name}` | {why} |\n" for name, why in refused())


def _sections() -> Iterator[str]:
    for section, about in _SECTIONS.items():
        yield f"\n## {section}\n\n{about}\n\n| key | option | default | meaning |\n|---|---|---|---|\n"
        yield from (_line(setting) for setting in SETTINGS.values() if setting.key.startswith(f"{section}."))


def _line(setting: Setting) -> str:
    match setting.default:
        case None:
            default = "`9464` (relay), `9465` (consume)" if setting.key == "http.port" else ""
        case bool():
            default = f"`{str(setting.default).lower()}`"
        case _:
            default = f"`{setting.default}`"
    also = "".join(f" Also `{variable}`." for variable in setting.env)
    return f"| `{setting.key}` | `{setting.flag}` | {default} | {setting.help}{also} |\n"


if __name__ == "__main__":
    sys.exit(keep(Path(__file__).with_name("configuration.md"), text(), "docs.configuration_reference"))
