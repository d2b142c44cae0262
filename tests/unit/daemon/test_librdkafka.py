"""What librdkafka repeats is said once."""

import logging

from txbox.daemon.librdkafka import Sparing


def line(text: str, level: int = logging.ERROR) -> logging.LogRecord:
    return logging.LogRecord("k", level, "", 0, text, None, None)


def test_a_line_that_is_repeated_is_let_through_once_in_a_while():
    now = 0.0
    sparing = Sparing(every=10.0, clock=lambda: now)
    assert [sparing.filter(line("FAIL [a] refused")), sparing.filter(line("FAIL [b] refused"))] == [True, False]
    now = 9.9
    assert not sparing.filter(line("FAIL [a] refused"))
    now = 10.0
    assert sparing.filter(line("FAIL [a] refused"))


def test_lines_of_other_kinds_are_not_held_back():
    sparing = Sparing(clock=lambda: 0.0)
    assert sparing.filter(line("FAIL refused"))
    assert sparing.filter(line("MAXPOLL too slow"))
    assert sparing.filter(line("FAIL closed", logging.INFO))
