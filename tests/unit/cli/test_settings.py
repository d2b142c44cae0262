"""Settings: where a value is looked for, and what is said of a bad one."""

import json
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from txbox.cli.main import txbox
from txbox.cli.settings import SETTINGS, Duration, Port, Size, read_file
from txbox.consumer import ConsumerConfig
from txbox.relay import RelayConfig


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Run `txbox ...` in an empty folder, with no environment of ours; return its result."""
    monkeypatch.chdir(tmp_path)
    for name in ("DATABASE_URL", "KAFKA_BOOTSTRAP_SERVERS", "PGHOST", "PGDATABASE"):
        monkeypatch.delenv(name, raising=False)
    return lambda *args, **env: CliRunner().invoke(txbox, args, env=env)


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (Duration(), "30s", 30.0),
        (Duration(), "100ms", 0.1),
        (Duration(), "5m", 300.0),
        (Duration(), "7d", 604800.0),
        (Duration(), "1.5h", 5400.0),
        (Size(), "256MB", 256_000_000),
        (Size(), "1KiB", 1024),
        (Port(), "off", -1),
        (Port(), "0", 0),
    ],
)
def test_a_quantity_has_a_unit(kind: click.ParamType, text: str, value: float):
    assert kind.convert(text, None, None) == value


@pytest.mark.parametrize(
    ("kind", "text", "hint"),
    [
        (Duration(), "30", "did you mean 30s"),
        (Duration(), 30, "did you mean 30s"),
        (Size(), "256", "did you mean 256B"),
        (Duration(), "soon", "write a number with one of"),
        (Duration(), "-1s", "write a number with one of"),
        (Size(), "3 apples", "write a number with one of"),
        (Port(), "99999", "is no port"),
        (Port(), "http", "is no port"),
    ],
)
def test_a_bad_quantity_is_refused_with_what_to_write(kind: click.ParamType, text: object, hint: str):
    with pytest.raises(click.BadParameter, match=hint):
        kind.convert(text, None, None)


@given(st.integers(min_value=1, max_value=10**9))
def test_a_quantity_is_shown_as_it_would_be_written(seconds: int):
    assert Duration().convert(Duration().show(float(seconds)), None, None) == seconds
    assert Size().convert(Size().show(float(seconds)), None, None) == seconds


def test_every_field_of_a_config_can_be_set():
    keys = {f"relay.{name}" for name in RelayConfig.__dataclass_fields__}
    keys |= {f"consumer.{name}" for name in ConsumerConfig.__dataclass_fields__}
    assert keys <= set(SETTINGS)


def test_defaults_on_the_command_line_are_those_of_the_library():
    for section, config in (("relay", RelayConfig()), ("consumer", ConsumerConfig())):
        for name in type(config).__dataclass_fields__:
            setting = SETTINGS[f"{section}.{name}"]
            given_there = setting.default
            if isinstance(given_there, str):
                given_there = setting.type.convert(given_there, None, None)
            assert given_there == getattr(config, name), setting.key


def test_the_command_line_wins_over_the_environment_and_that_over_the_file(run, tmp_path: Path):
    (tmp_path / "txbox.toml").write_text('[relay]\nbatch = 3\nname = "filed"\npoll_max = "9s"\n')
    done = run(
        "-o", "json", "config", "show", "--origin", "--batch", "1", TXBOX_RELAY__BATCH="2", TXBOX_RELAY__NAME="env"
    )
    shown = {row["key"]: (row["value"], row["origin"]) for row in json.loads(done.stdout)}
    assert shown["relay.batch"] == (1, "command line")
    assert shown["relay.name"] == ("env", "environment")
    assert shown["relay.poll_max"] == ("9s", "file")
    assert shown["relay.poll_min"] == ("1ms", "default")


def test_a_secret_is_read_from_a_file_and_never_shown(run, tmp_path: Path):
    (tmp_path / "url").write_text("postgresql://u:hunter2@h/db\n")
    (tmp_path / "sasl").write_text("hunter2\n")
    done = run(
        "config",
        "show",
        "--origin",
        TXBOX_DATABASE__URL_FILE=str(tmp_path / "url"),
        TXBOX_KAFKA__CLIENT__SASL_PASSWORD_FILE=str(tmp_path / "sasl"),
    )
    assert done.exit_code == 0
    assert "hunter2" not in done.output
    assert "password=***" in done.output
    assert "kafka.client.sasl.password" in done.output


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:x@hunter2@h/db",
        "postgresql://u:hunter2/x@h/db",
        "postgresql://u:hunter2?x@h/db",
        "postgresql://u:hunter2%zz@h/db",
        "postgresql://u:hunter2#x@127.0.0.1:1/db",
        "host=127.0.0.1 port=1 password=hunter2 hunter2",
        "host=127.0.0.1 port=1 password='hunter2",
        "host=127.0.0.1 port=1 user=u password=hunter2 sslpassword=hunter2",
        "hunter2",
    ],
)
def test_a_url_that_is_wrong_is_not_shown(run, tmp_path: Path, url: str):
    (tmp_path / "txbox.toml").write_text(f'[database]\nurl = "{url}"\n[kafka.client.sasl]\npassword = "hunter2"\n')
    for arguments in (("config", "show", "--origin"), ("db", "status")):
        done = run(*arguments)
        assert "hunter2" not in done.output
        assert isinstance(done.exception, SystemExit | None), done.exception


def test_nested_tables_are_librdkafkas_dotted_names(tmp_path: Path):
    (tmp_path / "t.toml").write_text('[kafka.client]\nsasl.username = "u"\n"security.protocol" = "SASL_SSL"\n')
    assert read_file(tmp_path / "t.toml")["kafka.client"] == {"sasl.username": "u", "security.protocol": "SASL_SSL"}


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("[relay]\nbatsh = 1\n", "did you mean 'relay.batch'"),
        ("batch = 1\n", "outside a section"),
        ("[relay\n", "txbox.toml"),
        ("[kafka]\nclient = 3\n", "a table of librdkafka settings"),
        ("[relay]\npoll_max = 50\n", "did you mean 50s"),
    ],
)
def test_a_bad_file_is_refused_with_what_was_meant(run, tmp_path: Path, text: str, hint: str):
    (tmp_path / "txbox.toml").write_text(text)
    done = run("config", "show")
    assert done.exit_code == 2
    assert hint in done.output


@pytest.mark.parametrize(
    ("args", "code", "hint"),
    [
        (("db", "status"), 2, "no database: give --database-url"),
        (("relay", "run", "--database-url", "postgresql://localhost/x"), 2, "no Kafka: give --bootstrap-servers"),
        (
            ("relay", "run", "--database-url", "dbname=x", "--bootstrap-servers", "x:1", "--poll-max", "2m"),
            2,
            "poll_max 120 s: set",
        ),
        (("consume", "nowhere"), 2, "write module:name"),
        (("consume", "nowhere:app"), 2, "no module 'nowhere'"),
        (("consume", "json:loads"), 2, "has no txbox.consumer.Consumer called 'loads'"),
        (("consume", "txbox.demo.billing:app"), 2, "it has consumer"),
        (("outbox", "show", "x", "--database-url", "postgresql://localhost/x"), 2, "neither an id"),
        (("db", "status", "--database-url", "postgresql://127.0.0.1:1/x"), 1, "PostgreSQL: "),
        (("nonsense",), 2, "No such command"),
    ],
)
def test_a_mistake_is_told_in_a_line_with_the_right_exit_code(run, args: tuple[str, ...], code: int, hint: str):
    done = run(*args)
    assert (done.exit_code, hint in done.output) == (code, True), done.output
    assert "Traceback" not in done.output


def test_every_option_tells_its_environment_variable(run):
    for command, others in ((("relay", "run"), "consumer."), (("consume",), "relay.")):
        text = run(*command, "--help").output
        theirs = [s for s in SETTINGS.values() if not s.key.startswith(others)]
        options = [s for s in theirs if s.flag.partition("/")[0] + " " in text]
        assert len(options) > 12
        assert all(setting.envvars[0] in text.replace("\n", "").replace(" ", "") for setting in options)


def test_where_relay_and_consumer_have_the_same_option_each_says_whose_it_is(run):
    text = run("config", "show", "--help").output
    assert "--relay-drain-timeout" in text
    assert "--consumer-drain-timeout" in text
    done = run("config", "show", "--relay-drain-timeout", "7s", "--consumer-drain-timeout", "9s", "-o", "json")
    found = {row["key"]: row["value"] for row in json.loads(done.stdout)}
    assert (found["relay.drain_timeout"], found["consumer.drain_timeout"]) == ("7s", "9s")


@pytest.mark.parametrize("name", ["sandbox", "demo"])
def test_without_the_extra_only_the_sandbox_is_missing_and_says_so(name: str):
    code = (
        "import sys; sys.modules['jgo'] = sys.modules['platformdirs'] = None\n"
        "from txbox.cli.main import main; sys.argv = ['txbox', *sys.argv[1:]]; main()"
    )
    run = lambda *args: subprocess.run(  # noqa: E731
        [sys.executable, "-c", code, *args], capture_output=True, text=True, check=False
    )
    assert run("--help").returncode == 0
    assert run("relay", "run", "--help").returncode == 0
    missing = run(name, "up", "--brokers", "3")
    assert (missing.returncode, "pip install 'txbox[sandbox]'" in missing.stderr) == (1, True), missing
