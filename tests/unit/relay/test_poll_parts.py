"""What the polling source asks with, and what it makes of a limit."""

import pytest
from psycopg.types.numeric import Int8

from tests.unit.relay.rows import row
from txbox.relay.batch import Room, Row
from txbox.relay.cursor import Gap
from txbox.relay.poll import _cut, _gap_parameters
from txbox.relay.topics import _size


def test_gaps_of_one_seq_go_as_singles_and_the_others_as_ranges():
    asked = _gap_parameters((Gap(1, 1), Gap(3, 9), Gap(12, 12)))
    assert asked == {"singles": [Int8(1), Int8(12)], "firsts": [Int8(3)], "lasts": [Int8(9)]}


@pytest.mark.parametrize(
    ("rows", "cut"),
    [
        ([], False),
        ([row(1, b"12"), row(2, b"12")], False),
        ([row(1, b""), row(2, None), row(3, None)], True),
        ([row(1, b"x" * 100)], True),
        ([row(1, b"x" * 50), row(2, b"x" * 50)], True),
        ([row(1, b"x" * 49), row(2, b"x" * 49)], True),
    ],
    ids=["nothing", "below both", "count", "one that is too large", "size", "size, with headers as they are stored"],
)
def test_answer_that_reached_a_limit_counts_as_cut(rows: list[Row], cut: bool):
    assert _cut(rows, Room(messages=3, size=100)) is cut


def test_record_is_never_taken_for_smaller_than_what_it_carries():
    plain = row(payload=b"x" * 1000)
    assert _size(plain) > 1000 + len("key") + len("id-1") + len("Happened")
    assert _size(plain._replace(key="schlüssel")) == _size(plain) + len("schlüssel".encode()) - len("key")
    assert _size(plain._replace(payload=None)) == _size(plain) - 1000
    assert _size(plain._replace(headers='{"trace": "abc"}')) >= _size(plain) + len("traceabc")
