"""People edit held messages: what comes out can be handled, is the same message, and who did it is known."""

import base64
import hashlib
import json
from collections.abc import Mapping
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from tests.integration.consumer.holding import Holding
from tests.unit.consumer.records import record
from txbox.consumer.editing import edit
from txbox.consumer.errors import BeingTried, HeldByMany, NotHeld, UnfitEdit
from txbox.consumer.received import Received, read
from txbox.daemon import Database

Conn = psycopg.Connection[Any]


def headers(holding: Holding) -> list[tuple[str, bytes | None]]:
    [(stored,)] = holding.rows("headers")
    return [(name, None if value is None else base64.b64decode(value)) for name, value in stored]


def test_a_payload_is_replaced_and_everything_else_stays(conn: Conn, holding: Holding) -> None:
    id_ = holding.dead(payload=b'{"iban":"DE02"}', headers=[("h", b"1"), ("h", b"2"), ("n", None)])
    [before] = holding.everything()
    edited = edit(conn, id_, payload=b'{"iban":"DE03"}')
    assert holding.everything() == [before | {"payload": b'{"iban":"DE03"}'}]
    assert (edited.id, edited.consumer, edited.type, edited.changed) == (id_, "billing", "Placed", True)


def test_the_audit_has_sizes_and_hashes_and_no_contents(conn: Conn, holding: Holding) -> None:
    old, new = b'{"iban":"DE02"}', b'{"iban":"DE0345"}'
    id_ = holding.head(payload=old)
    edit(conn, id_, payload=new, headers={"secret": "s3cret"})
    [(command, what)] = holding.audit()
    assert (command, what["messages"], what["consumer"], what["headers"]) == (
        "held edit",
        [str(id_)],
        "billing",
        ["secret"],
    )
    assert what["before"]["payload"] == {"bytes": len(old), "sha256": hashlib.sha256(old).hexdigest()}
    assert what["after"]["payload"] == {"bytes": len(new), "sha256": hashlib.sha256(new).hexdigest()}
    assert what["before"]["headers"] != what["after"]["headers"]
    assert not [word for word in ("DE0", "s3cret", base64.b64encode(b"s3cret").decode()) if word in json.dumps(what)]


def test_a_header_takes_the_place_of_all_of_its_name(conn: Conn, holding: Holding) -> None:
    id_ = holding.dead(headers=[("a", b"1"), ("b", b"\xff"), ("a", b"2"), ("n", None)])
    edit(conn, id_, headers={"a": "ü", "new": "", "type": "Paid"})
    own = [("id", str(id_).encode()), ("type", b"Paid")]
    assert headers(holding) == [*own, ("a", "ü".encode()), ("b", b"\xff"), ("n", None), ("new", b"")]
    assert holding.rows("type") == [("Paid",)]


@pytest.mark.parametrize(
    ("payload", "given", "told"),
    [
        (b"{", {}, "no application/json"),
        (b"", {}, "no application/json"),
        (b"\xff", {"content-type": "text/plain"}, "no text/plain"),
        (None, {"content-type": "text/plain; charset=utf-8", "id": str(uuid4())}, "id would become"),
        (None, {"id": "42"}, "id would become"),
        (None, {"": "x"}, "empty"),
        (None, {"a\0b": "x"}, "NUL"),
        (None, {"a\ud800b": "x"}, "surrogate"),
    ],
)
def test_what_could_not_be_handled_is_refused_and_nothing_changes(
    conn: Conn, holding: Holding, payload: bytes | None, given: Mapping[str, str], told: str
) -> None:
    id_ = holding.dead()
    before = holding.everything()
    with pytest.raises(UnfitEdit, match=told):
        edit(conn, id_, payload=payload, headers=given)
    assert (holding.everything(), holding.audit()) == (before, [])


@pytest.mark.parametrize(
    ("payload", "given"),
    [
        (b"\x00\xff", {"content-type": "application/octet-stream"}),
        ("ü\0".encode(), {"content-type": "text/plain"}),
        (b'{"n":"\\u0000"}', {}),
        (b"x" * 2_000_000, {"content-type": "text/plain"}),
    ],
)
def test_any_bytes_may_be_put_in_that_their_content_type_allows(
    conn: Conn, holding: Holding, payload: bytes, given: Mapping[str, str]
) -> None:
    id_ = holding.dead(b"\xff" * 3000)
    edit(conn, id_, payload=payload, headers=given)
    assert holding.rows("payload") == [(payload,)]


def test_an_unreadable_message_is_mended_by_its_content_type(conn: Conn, holding: Holding) -> None:
    id_ = holding.dead(payload=b"plain words", reason="unreadable")
    with pytest.raises(UnfitEdit, match="no application/json"):
        edit(conn, id_, headers={"x": "y"})
    edit(conn, id_, headers={"content-type": "text/plain"})
    assert holding.rows("payload", "state") == [(b"plain words", "dead")]


def test_a_message_without_an_id_gets_the_one_by_which_it_is_known(conn: Conn, holding: Holding) -> None:
    known = read(record(id=None)).id
    holding.dead(None, id=known, own=[("type", b"Placed")], reason="no_id")
    edit(conn, known, payload=b"{}")
    assert headers(holding) == [("type", b"Placed"), ("id", str(known).encode())]
    message = read(record(None, b"{}", *headers(holding), id=None))
    assert isinstance(message, Received)
    assert message.id == known


def test_a_message_of_a_foreign_id_stays_that_message(conn: Conn, holding: Holding) -> None:
    known = read(record(id="42")).id
    holding.dead(None, id=known, own=[("id", b"42"), ("type", b"Placed")])
    edit(conn, known, payload=b"{}")
    assert headers(holding)[0] == ("id", b"42")


def test_an_edit_to_what_it_is_changes_nothing_and_neither_does_a_dry_run(conn: Conn, holding: Holding) -> None:
    id_ = holding.dead(payload=b"{}")
    before = holding.everything()
    assert not edit(conn, id_, payload=b"{}").changed
    assert edit(conn, id_, payload=b"[]", dry_run=True).changed
    assert (holding.everything(), holding.audit()) == (before, [])


def test_one_that_is_being_tried_is_left(conn: Conn, database: Database, holding: Holding) -> None:
    id_ = holding.head()
    conn.execute("SET lock_timeout = '1s'")
    with psycopg.connect(database.url) as handler:
        handler.execute("SELECT FROM txbox.held_messages WHERE message_id = %s FOR UPDATE", (id_,))
        with pytest.raises(BeingTried, match="try again"):
            edit(conn, id_, payload=b"[]")
    assert holding.rows("payload") == [(b'{"n":1}',)]
    assert edit(conn, id_, payload=b"[]").changed


def test_one_that_is_not_held_or_held_by_several_is_told(conn: Conn, holding: Holding) -> None:
    id_: UUID = holding.dead()
    holding.dead(id=id_, consumer="mail")
    with pytest.raises(HeldByMany):
        edit(conn, id_, payload=b"[]")
    with pytest.raises(NotHeld):
        edit(conn, uuid4(), payload=b"[]")
    edit(conn, id_, payload=b"[]", consumer="mail")
    assert holding.rows("payload") == [(b'{"n":1}',), (b"[]",)]
