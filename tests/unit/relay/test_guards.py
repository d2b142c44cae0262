"""What a relay refuses to rely on."""

from dataclasses import replace
from typing import Any

import pytest

from txbox.relay.errors import (
    CursorAhead,
    HiddenRows,
    InRecovery,
    SharedSession,
    UnfitSequence,
    WrongCluster,
)
from txbox.relay.guards import Facts, Stored, check, require_fit

FIT = Facts(
    in_recovery=False,
    system_identifier="7",
    timeline=1,
    sequence_oid=16384,
    sequence_filenode=16384,
    cache=1,
    increment=1,
    cycles=False,
    permanent=True,
    subscribed=False,
    detaching=None,
    last_value=100,
    backend=4711,
    sequence="txbox.outbox_seq_seq",
    role="relay",
    reads_sequence=True,
    secured=None,
)
STORED = Stored(tail=100, system_identifier="7", timeline=1, sequence_oid=16384, sequence_filenode=16384)


@pytest.mark.parametrize("stored", [None, STORED, replace(STORED, system_identifier=None), replace(STORED, tail=0)])
def test_fit_database_is_relied_on(stored: Stored | None):
    require_fit(FIT, backend=4711)
    check("default", FIT, stored)


@pytest.mark.parametrize(
    ("facts", "what"),
    [
        (replace(FIT, cache=20), "CACHE 20"),
        (replace(FIT, increment=2), "rise by one"),
        (replace(FIT, increment=-1), "rise by one"),
        (replace(FIT, cycles=True), "rise by one"),
        (replace(FIT, permanent=False), "unlogged"),
        (replace(FIT, subscribed=True), "subscription"),
        (replace(FIT, detaching="txbox.outbox_p0"), "outbox_p0 is half detached"),
    ],
)
def test_condition_that_would_lose_rows_is_refused_with_its_mend(facts: Facts, what: str):
    with pytest.raises(UnfitSequence, match=f"{what}.*Mend: "):
        require_fit(facts, backend=4711)


@pytest.mark.parametrize(
    ("facts", "error", "mend"),
    [
        (replace(FIT, backend=1), SharedSession, "pool_mode = session"),
        (replace(FIT, in_recovery=True), InRecovery, "target_session_attrs=read-write"),
        (replace(FIT, secured="txbox.outbox"), HiddenRows, "BYPASSRLS"),
        (replace(FIT, reads_sequence=False), HiddenRows, "GRANT SELECT ON SEQUENCE txbox.outbox_seq_seq"),
    ],
)
def test_session_that_would_show_or_save_less_is_refused_with_its_mend(facts: Facts, error: type[Exception], mend: str):
    with pytest.raises(error, match=mend):
        require_fit(facts, backend=4711)


@pytest.mark.parametrize("facts", [replace(FIT, sequence_filenode=16385), replace(FIT, sequence_oid=16385)])
def test_sequence_that_was_restarted_is_refused_even_when_it_has_overtaken_the_tail(facts: Facts):
    with pytest.raises(UnfitSequence, match=r"restarted or made anew.*Mend: "):
        check("default", replace(facts, last_value=1000), STORED)


@pytest.mark.parametrize("changed", [{"cache": 20}, {"permanent": False}, {"increment": 2}, {"detaching": "p0"}])
def test_mends_name_the_schema_that_is_configured(changed: dict[str, Any]):
    with pytest.raises(UnfitSequence, match=r'Mend: ALTER TABLE "My ""Own"""\."outbox" '):
        require_fit(replace(FIT, **changed), 4711, 'My "Own"')


def test_mends_of_the_cursor_name_the_schema_that_is_configured():
    with pytest.raises(UnfitSequence) as refused:
        check("it's", FIT, replace(STORED, sequence_oid=1), 'My "Own"')
    for statement in ("UPDATE", "DELETE FROM"):
        assert f'{statement} "My ""Own"""."relay_cursor" ' in str(refused.value)
    assert str(refused.value).count("WHERE name = 'it''s'") == 2


def test_cursor_of_another_server_is_refused():
    with pytest.raises(WrongCluster, match="identifier 7, this one is 8"):
        check("default", replace(FIT, system_identifier="8"), STORED)


def test_sequence_that_was_set_back_is_refused_before_rows_are_passed_over():
    with pytest.raises(CursorAhead) as refused:
        check("default", replace(FIT, last_value=99), STORED)
    assert (refused.value.tail, refused.value.last) == (100, 99)


def test_mend_of_a_sequence_that_was_set_back_names_the_schema_that_is_configured():
    with pytest.raises(CursorAhead, match=r"""pg_get_serial_sequence\('"o''clock"\."outbox"', 'seq'\), 100"""):
        check("default", replace(FIT, last_value=99), STORED, "o'clock")
