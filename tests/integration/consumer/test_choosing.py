"""People look for held messages: by what they know of them, and never see a payload that they did not ask for."""

import base64
import json
from typing import Any
from uuid import uuid4

import orjson
import psycopg
import pytest

from tests.integration.consumer.holding import Holding
from txbox.consumer import report
from txbox.consumer.choosing import Choice, State, export, listing, show
from txbox.consumer.errors import HeldByMany, NotHeld

Conn = psycopg.Connection[Any]

SECRET = b'{"iban":"DE02"}'
LONG = b"k" * 3000


def test_messages_are_found_by_what_is_known_of_them(conn: Conn, holding: Holding) -> None:
    ids = [
        holding.dead(b"a", topic="orders", type="Placed", age=7200),
        holding.follower(b"a", type="Paid"),
        holding.head(None, topic="payments", error="KeyError at a.py:1"),
        holding.dead(b"\xff\0", consumer="mail", reason="unreadable", error="50% is no JSON"),
        holding.dead("schlüssel✓".encode(), consumer="mail", type=None),
        holding.dead(LONG, consumer="mail"),
    ]
    choices = {
        "all": (Choice(), [0, 1, 2, 3, 4, 5]),
        "ids": (Choice(ids=(ids[4], ids[0], uuid4())), [0, 4]),
        "consumer": (Choice(consumer="billing"), [0, 1, 2]),
        "nobody": (Choice(consumer="no such"), []),
        "dead": (Choice(state=State.DEAD), [0, 3, 4, 5]),
        "waiting": (Choice(state=State.WAITING), [1, 2]),
        "topic": (Choice(topic="payments"), [2]),
        "key": (Choice(key="a"), [0, 1]),
        "binary key": (Choice(key="\\xff\\x00"), [3]),
        "unicode key": (Choice(key="schlüssel✓"), [4]),
        "long key": (Choice(key="k" * 3000), [5]),
        "part of a long key": (Choice(key="k" * 1000), []),
        "type": (Choice(type="Paid"), [1]),
        "reason": (Choice(reason="unreadable"), [3]),
        "error": (Choice(error="Error at"), [0, 2, 4, 5]),
        "error is no pattern": (Choice(error="50%"), [3]),
        "error is no wildcard": (Choice(error="%"), [3]),
        "older": (Choice(older_than=3600.0), [0]),
        "newer": (Choice(newer_than=3600.0), [1, 2, 3, 4, 5]),
        "several": (Choice(consumer="mail", state=State.DEAD, reason="attempts"), [4, 5]),
    }
    for name, (choice, expected) in choices.items():
        assert [row["id"] for row in listing(conn, choice)] == [ids[n] for n in expected], name
    assert [row["id"] for row in listing(conn, Choice(), limit=2)] == ids[:2]


def test_a_listing_tells_who_is_behind_whom_and_nothing_of_the_contents(conn: Conn, holding: Holding) -> None:
    head = holding.dead(payload=SECRET, headers=[("secret", SECRET)])
    followers = [holding.follower(payload=SECRET) for _ in range(3)]
    beside = holding.dead(blocks=False)
    rows = {row["id"]: row for row in listing(conn, Choice())}
    assert "DE02" not in json.dumps(list(rows.values()), default=str)
    assert (rows[head]["behind"], rows[head]["head"], rows[head]["payload_bytes"]) == (3, None, len(SECRET))
    assert [(rows[id_]["behind"], rows[id_]["head"]) for id_ in followers] == [(None, head)] * 3
    assert (rows[beside]["behind"], rows[beside]["head"], rows[beside]["blocks"]) == (None, None, False)


def test_keys_that_begin_alike_for_1000_bytes_are_one_line(conn: Conn, holding: Holding) -> None:
    head = holding.dead(LONG + b"1")
    holding.follower(LONG + b"2")
    holding.follower(LONG + b"2", topic="payments")
    holding.follower(LONG + b"2", consumer="mail")
    assert [row["behind"] for row in listing(conn, Choice(ids=(head,)))] == [1]


@pytest.mark.parametrize(
    ("payload", "shown"),
    [
        (SECRET, {"payload": SECRET.decode()}),
        ("ü\0".encode(), {"payload": "ü\0"}),
        (b"\xff\0", {"payload_base64": "/wA="}),
        (None, {"payload": None}),
        (b"", {"payload": ""}),
    ],
)
def test_a_payload_is_shown_when_it_is_asked_for(
    conn: Conn, holding: Holding, payload: bytes | None, shown: dict[str, object]
) -> None:
    id_ = holding.dead(payload=payload, headers=[("h", b"\xff"), ("n", None), ("t", b"text")])
    assert not [name for name in show(conn, id_) if name in ("payload", "payload_base64")]
    row = show(conn, id_, payload=True)
    assert shown.items() <= row.items()
    assert row["headers"] == [f"id: {id_}", "type: Placed", "h: (base64) /w==", "n: (no value)", "t: text"]
    assert (row["partition"], row["topic"], row["error"]) == (3, "orders", "ValueError at shop.py:7")


def test_one_that_is_not_held_or_held_by_several_is_told(conn: Conn, holding: Holding) -> None:
    id_ = holding.dead()
    holding.dead(id=id_, consumer="mail")
    with pytest.raises(HeldByMany, match="billing, mail: give --consumer"):
        show(conn, id_)
    assert show(conn, id_, consumer="mail")["consumer"] == "mail"
    for consumer in (None, "stock"):
        with pytest.raises(NotHeld, match="inbox show"):
            show(conn, uuid4() if consumer is None else id_, consumer=consumer)


def test_an_export_has_every_byte(conn: Conn, holding: Holding) -> None:
    headers = [("a", None), ("b", b"\0\xff"), ("a", b"")]
    given = [(b"\xff\0k", b"\0\1\2", headers), (None, None, []), (LONG, SECRET, [])]
    ids = [(holding.dead if key else holding.head)(key, payload=payload, headers=own) for key, payload, own in given]
    ids += [holding.dead(None) for _ in range(120)]
    lines = [orjson.loads(orjson.dumps(row, default=str)) for row in export(conn, Choice())]
    assert [line["id"] for line in lines] == [str(id_) for id_ in ids]
    for line, (key, payload, own) in zip(lines, given, strict=False):
        assert (_bytes(line["key_base64"]), _bytes(line["payload_base64"])) == (key, payload)
        assert [(name, _bytes(value)) for name, value in line["headers_base64"]][2:] == own
    columns = {
        "message_id",
        "kafka_partition",
        "kafka_offset",
        "record_timestamp",
        "consumer_id",
        "key",
        "payload",
        "n",
    }
    assert set(holding.everything()[0]) - columns - {"headers"} <= set(lines[0])
    assert lines[0]["timestamp"].startswith("2026-01-02T03:04:05.678")


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else base64.b64decode(text)


def test_keys_that_are_blocked_are_told_the_longest_blocked_first(conn: Conn, holding: Holding) -> None:
    one, other = holding.dead(b"\xffa"), holding.dead(b"b", consumer="mail")
    for _ in range(3):
        holding.follower(b"b", consumer="mail")
    holding.dead(b"c", blocks=False)
    holding.dead(None)
    holding.head(b"d")
    holding.follower(b"d")
    conn.execute(
        "UPDATE txbox.held_messages SET last_failed_at = now() - interval '1 hour' WHERE message_id = %s", (other,)
    )
    conn.execute("INSERT INTO txbox.consumers (name) VALUES ('stock')")
    told = report.blocked(conn)
    assert [(row["consumer"], row["key"], row["id"], row["behind"]) for row in told] == [
        ("mail", "b", other, 3),
        ("billing", "\\xffa", one, 0),
    ]
    assert len(report.blocked(conn, limit=1)) == 1
    standing = [(row["consumer"], row["waiting"], row["dead"], row["blocked_keys"]) for row in report.standing(conn)]
    assert standing == [("billing", 2, 3, 1), ("mail", 3, 1, 1), ("stock", 0, 0, 0)]


def test_those_behind_are_counted_to_a_thousand_and_both_ways_go_by_index(conn: Conn, holding: Holding) -> None:
    head = holding.dead()
    conn.execute(
        "INSERT INTO txbox.held_messages (consumer_id, message_id, state, blocks, reason, attempts, key, headers,"
        " topic, kafka_partition, kafka_offset) SELECT consumer_id, gen_random_uuid(), 'waiting', true, 'follows', 0,"
        " key, headers, topic, 0, n FROM txbox.held_messages, generate_series(1, 20000)"
    )
    conn.execute("VACUUM ANALYZE txbox.held_messages")
    before = _read(conn)
    assert [row["behind"] for row in report.blocked(conn)] == [1000]
    assert [row["behind"] for row in listing(conn, Choice(ids=(head,)))] == [1000]
    conn.execute("SELECT pg_stat_force_next_flush()")
    assert _read(conn) - before < 5000


def _read(conn: Conn) -> int:
    """Rows of held messages that were read by now."""
    conn.execute("SELECT pg_stat_force_next_flush()")
    row = conn.execute(
        "SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_user_tables WHERE relname = 'held_messages'"
    ).fetchone()
    assert row is not None
    return int(row[0])
