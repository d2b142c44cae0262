"""`txbox held`: what people see, what it exits with, and how fast it goes."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from click.testing import CliRunner, Result

from tests.integration.consumer.holding import Holding
from tests.waiting import eventually
from txbox.cli.main import txbox
from txbox.daemon import Database

Run = Callable[..., Result]
SECRET = b'{"iban":"DE02"}'


@pytest.fixture
def holding(conn: psycopg.Connection) -> Holding:
    return Holding(conn)


@pytest.fixture
def run(database: Database) -> Run:
    """Run `txbox held ...` in this process."""
    env = {"TXBOX_DATABASE__URL": database.url}
    return lambda *args, **more: CliRunner().invoke(txbox, ["held", *map(str, args)], env=env, **more)


def data(result: Result) -> Any:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_messages_are_listed_and_shown_and_payloads_only_when_asked(run: Run, holding: Holding) -> None:
    id_ = holding.dead(payload=SECRET)
    holding.follower(payload=SECRET)
    holding.dead(b"\xff", consumer="mail", payload=SECRET)
    assert [row["consumer"] for row in data(run("list", "-o", "json"))] == ["billing", "billing", "mail"]
    assert [row["reason"] for row in data(run("list", "--key", "k", "--state", "waiting", "-o", "json"))] == ["follows"]
    assert data(run("list", "--consumer", "stock", "-o", "json")) == []
    assert len(data(run("list", "--limit", "1", "-o", "json"))) == 1
    for command in (("list",), ("list", "-o", "json"), ("show", id_), ("show", id_, "-o", "json")):
        shown = run(*command)
        assert (shown.exit_code, "DE02" in shown.output, str(id_) in shown.stdout) == (0, False, True)
    assert data(run("show", id_, "--payload", "-o", "json"))["payload"] == SECRET.decode()
    assert SECRET.decode() in run("show", id_, "--payload").stdout
    assert "payload_base64" in run("show", "--help").output + run("export", "--help").output


def test_what_a_producer_wrote_cannot_steer_a_terminal(run: Run, holding: Holding) -> None:
    id_ = holding.dead(b"\x1b[2Jk", type="\x1b[31mred", payload=b"\x1b]0;title\x07\tx", error="\x1b[5m")
    for command in (("list",), ("show", id_, "--payload"), ("retry", id_)):
        shown = run(*command)
        assert "\x1b" not in shown.output
        assert "\\x1b[31mred" in shown.stdout
    assert data(run("list", "--key", "\\x1b[2Jk", "-o", "json"))[0]["key"] == "\\x1b[2Jk"


def test_a_retry_is_told_message_by_message_and_pressed_twice_finds_nothing_to_do(run: Run, holding: Holding) -> None:
    ids = [holding.dead(), holding.dead(None, consumer="mail")]
    dry = run("retry", "--state", "dead", "--dry-run", "-o", "json")
    assert [row["outcome"] for row in data(dry)] == ["would be due now"] * 2
    assert holding.audit() == []
    first = run("retry", *ids, "-o", "json")
    assert [(row["id"], row["outcome"]) for row in data(first)] == [(str(id_), "due now") for id_ in ids]
    assert "2 due now" in first.stderr
    second = run("retry", *ids)
    assert (second.exit_code, "2 due already" in second.stderr) == (0, True)
    assert len(holding.audit()) == 2


def test_of_many_a_table_shows_the_first_and_json_all(run: Run, holding: Holding) -> None:
    for n in range(150):
        holding.dead(f"{n}".encode())
    table = run("retry", "--state", "dead", "--dry-run")
    assert (table.stdout.count("would be due now"), "and 50 more" in table.stderr) == (100, True)
    assert "150 would be due now" in table.stderr
    assert len(data(run("retry", "--state", "dead", "-o", "json"))) == 150
    assert sorted(len(what["messages"]) for _, what in holding.audit()) == [50, 100]


def test_a_follower_names_the_one_that_is_to_be_retried(run: Run, holding: Holding) -> None:
    head, follower = holding.dead(), holding.follower()
    refused = run("retry", follower)
    assert (refused.exit_code, str(head) in refused.stderr) == (1, True)


@pytest.mark.parametrize("command", ["retry", "discard"])
def test_one_that_is_being_tried_is_told_and_makes_the_exit_code_1(
    run: Run, database: Database, holding: Holding, command: str
) -> None:
    ids = [holding.dead(b"a"), holding.dead(b"b")]
    with psycopg.connect(database.url) as handler:
        handler.execute("SELECT FROM txbox.held_messages WHERE message_id = %s FOR UPDATE", (ids[0],))
        told = run(command, "--state", "dead", "-o", "json")
        edited = run("edit", ids[0], "--header", "a=b")
    assert (told.exit_code, "being tried just now" in told.stderr) == (1, True)
    outcomes = {row["id"]: row["outcome"] for row in json.loads(told.stdout)}
    assert outcomes[str(ids[0])] == "being tried"
    assert outcomes[str(ids[1])] in ("due now", "discarded")
    assert (edited.exit_code, "being tried just now" in edited.stderr) == (1, True)


def test_a_discarded_message_is_exported_before_and_gone_after(run: Run, holding: Holding) -> None:
    id_ = holding.dead(b"\xff", payload=b"\0\xff", headers=[("n", None)])
    exported = run("export", "--state", "dead")
    [line] = [json.loads(line) for line in exported.stdout.splitlines()]
    assert (line["id"], line["key_base64"], line["payload_base64"]) == (str(id_), "/w==", "AP8=")
    assert line["headers_base64"][2] == ["n", None]
    assert [row["outcome"] for row in data(run("discard", id_, "-o", "json"))] == ["discarded"]
    assert run("export").stdout == ""
    assert run("discard", id_).exit_code == 4


def test_a_payload_is_edited_from_a_file_and_from_stdin(run: Run, holding: Holding, tmp_path: Path) -> None:
    id_ = holding.dead()
    file = tmp_path / "payload"
    file.write_bytes(b'{"n":2}')
    dry = run("edit", id_, "--payload-file", file, "--dry-run", "-o", "json")
    assert data(dry)["after"]["payload"]["bytes"] == 7
    assert holding.rows("payload") == [(b'{"n":1}',)]
    assert run("edit", id_, "--payload-file", file).exit_code == 0
    assert holding.rows("payload") == [(b'{"n":2}',)]
    assert run("edit", id_, "--payload-file", "-", "--header", "a=b=c", input=b'{"n":3}').exit_code == 0
    assert holding.rows("payload") == [(b'{"n":3}',)]
    assert "a: b=c" in data(run("show", id_, "-o", "json"))["headers"]
    assert "nothing to do" in run("edit", id_, "--header", "a=b=c").stderr
    refused = run("edit", id_, "--payload-file", "-", input=b"{")
    assert (refused.exit_code, "no application/json" in refused.stderr) == (1, True)


@pytest.mark.parametrize(
    ("args", "code"),
    [
        (["retry"], 2),
        (["discard"], 2),
        (["retry", "no-id"], 2),
        (["retry", "--state", "lost"], 2),
        (["retry", "--state", "dead", "--rate", "10"], 2),
        (["retry", "--state", "dead", "--rate", "0/s"], 2),
        (["edit", uuid4()], 2),
        (["edit", uuid4(), "--header", "no value"], 2),
        (["edit", uuid4(), "--header", "a=b"], 4),
        (["show", uuid4()], 4),
        (["retry", uuid4()], 4),
        (["retry", "--consumer", "stock"], 4),
        (["discard", "--key", "a"], 4),
        (["list", "--topic", "\udcff"], 2),
        (["list", "--key", "\udcff"], 0),
        (["list"], 0),
        (["export"], 0),
    ],
)
def test_what_is_not_there_or_not_said_has_its_exit_code(
    run: Run, holding: Holding, args: list[object], code: int
) -> None:
    assert run(*args).exit_code == code
    assert holding.audit() == []


def test_a_rate_holds_and_what_is_broken_off_is_done_up_to_there(database: Database, holding: Holding) -> None:
    ids = [holding.dead(f"{n}".encode()) for n in range(100)]
    command = (sys.executable, "-m", "txbox.cli", "held", "retry", "--state", "dead", "--rate", "5/s", "-o", "json")
    env = {**os.environ, "TXBOX_DATABASE__URL": database.url}
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        eventually(lambda: len(holding.audit()) >= 3, within=60)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert process.returncode == 130
    waiting = [id_ for id_, state in holding.rows("message_id", "state") if state == "waiting"]
    assert 3 <= len(waiting) < len(ids)
    assert waiting == ids[: len(waiting)]
    assert [what["messages"] for _, what in holding.audit()] == [[str(id_)] for id_ in waiting]
    told = [UUID(row["id"]) for row in json.loads(out)]
    assert told in (waiting, waiting[:-1])  # it may be broken off between a COMMIT and its answer
    assert f"{len(told)} due now" in err


def test_consumers_are_listed_with_the_keys_that_are_blocked(database: Database, holding: Holding) -> None:
    id_ = holding.dead("schlüssel".encode())
    holding.follower("schlüssel".encode())
    holding.dead(None, consumer="mail")
    env = {"TXBOX_DATABASE__URL": database.url}
    told = data(CliRunner().invoke(txbox, ["consumers", "list", "-o", "json"], env=env))
    assert [(row["consumer"], row["dead"], row["blocked_keys"]) for row in told["consumers"]] == [
        ("billing", 1, 1),
        ("mail", 1, 0),
    ]
    assert [(row["key"], row["behind"], row["id"]) for row in told["blocked"]] == [("schlüssel", 1, str(id_))]
    table = CliRunner().invoke(txbox, ["consumers", "list"], env=env)
    assert "schlüssel" in table.stdout
    assert str(id_) in table.stdout
