"""What facts mean, where no server is needed to have them."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from txbox.doctor import Check, Finding, Level, examine
from txbox.doctor.cluster import Address, addresses, judge_sizes, judge_topics, unreachable
from txbox.doctor.database import judge_clock, judge_rights, judge_users, skew
from txbox.doctor.finding import fail, ok, warn
from txbox.doctor.standing import judge_lag, judge_others, judge_refused, judge_relay, judge_standby
from txbox.relay import WrongCluster
from txbox.schema import SchemaMissing
from txbox.schema.locks import User
from txbox.schema.rights import ROLES, Right, Rights
from txbox.schema.rights import given as granted

times = st.floats(0, 1e10)


def test_a_check_is_skipped_with_the_first_reason() -> None:
    checks = [
        Check("a", lambda: fail("broken")),
        Check("b", lambda: ok("never asked"), ("a",)),
        Check("c", lambda: ok("never asked"), ("b",)),
        Check("d", lambda: warn("works", "mend it")),
        Check("e", lambda: ok("asked"), ("d",)),
    ]
    found = dict(examine(checks))
    assert [finding.level for finding in found.values()] == ["fail", "skipped", "skipped", "warn", "ok"]
    assert found["b"].why == found["c"].why == "a failed"


@pytest.mark.parametrize(
    ("error", "finding"),
    [
        (SchemaMissing("txbox", 2, 3), fail("schema 'txbox' is at version 2, version 3 is needed", "txbox db migrate")),
        (TimeoutError(), fail("Kafka did not answer in time")),
    ],
)
def test_what_goes_wrong_in_a_check_is_a_finding(error: Exception, finding: Finding) -> None:
    def look() -> Finding:
        raise error

    assert dict(examine([Check("a", look)])) == {"a": finding}


def test_a_mend_is_taken_out_of_a_message() -> None:
    def look() -> Finding:
        raise WrongCluster("default", "1", "2")

    [(_, found)] = examine([Check("a", look)])
    assert found.mend == "txbox relay accept-cluster"
    assert found.why.endswith("has stopped")


@given(times, times, times)
def test_a_clock_is_never_said_to_be_further_off_than_it_is(told: float, one: float, other: float) -> None:
    before, after = sorted((one, other))
    off = skew(told, before, after)
    assert (off == 0) == (before <= told <= after)
    assert abs(off) <= min(abs(told - before), abs(told - after))


def test_a_clock_is_judged_by_how_far_it_is() -> None:
    assert [judge_clock("its", s).level for s in (0, 1.9, -3, 59, 61, -61)] == [
        "ok",
        "ok",
        "warn",
        "warn",
        "fail",
        "fail",
    ]


def test_rights_are_judged_by_what_is_worst() -> None:
    right = Right("txbox_relay", "SELECT", "outbox", "")
    everything = tuple(sorted(granted()))
    assert judge_rights(Rights(absent=ROLES, missing=everything, excessive=())).level is Level.WARN
    assert judge_rights(Rights(absent=("txbox_viewer",), missing=(right,), excessive=())).level is Level.FAIL
    assert judge_rights(Rights(absent=(), missing=(right,), excessive=(right,))).level is Level.FAIL
    many = judge_rights(Rights(absent=(), missing=(), excessive=everything))
    assert (many.level, f"and {len(everything) - 4} more" in many.why) == (Level.WARN, True)


def test_what_roles_sql_gives_is_read_from_it() -> None:
    assert {right.role for right in granted()} == set(ROLES)
    assert Right("txbox_relay", "DELETE", "outbox", "") in granted()
    assert Right("txbox_viewer", "USAGE", "schema", "") in granted()
    assert Right("txbox_consumer", "EXECUTE", "readable()", "") in granted()
    writes = {right.column for right in granted() if right.role == "txbox_writer" and right.privilege == "INSERT"}
    assert writes == {"id", "aggregatetype", "aggregateid", "type", "payload", "headers", "topic", "created_at"}


def test_who_may_not_be_seen_is_said() -> None:
    hidden = User(pid=1, application="", state="the rest is shown to members of pg_read_all_stats only", seconds=0.0)
    assert (judge_users([hidden]).level, "pg_read_all_stats" in judge_users([hidden]).why) == (Level.OK, True)
    prepared = User(pid=None, application="", state="prepared transaction", seconds=3600.0)
    assert "ROLLBACK PREPARED" in judge_users([prepared, hidden]).mend


@pytest.mark.parametrize(
    ("servers", "expected"),
    [
        ("a:1,b:2", [("a", 1), ("b", 2)]),
        (" a , b:9 ", [("a", 9092), ("b", 9)]),
        ("[::1]:9092", [("::1", 9092)]),
        ("SASL_SSL://kafka.example:9093", [("kafka.example", 9093)]),
        (",", []),
    ],
)
def test_addresses_are_read_as_librdkafka_does(servers: str, expected: list[tuple[str, int]]) -> None:
    assert [(address.host, address.port) for address in addresses(servers)] == expected
    assert str(Address("::1", 9092)) == "[::1]:9092"


def test_a_topic_that_we_may_not_describe() -> None:
    found = judge_topics(["t"], [], {"t": "Topic authorization failed"}, create=False)
    assert (found.level, "kafka-acls" in found.mend, "authorization failed" in found.why) == (Level.FAIL, True, True)


def test_limits_are_compared_with_what_an_outbox_takes() -> None:
    assert judge_sizes({"t": 1_048_588}, 900_000, None).level is Level.OK
    assert judge_sizes({"t": 1_048_588}, 1_045_000, None).level is Level.WARN
    assert judge_sizes({"t": 1_048_588}, 900_000, 1_000_000_000).level is Level.OK


def test_a_limit_that_is_no_number_is_a_finding() -> None:
    found = judge_sizes({}, 900_000, "2000000 bytes")
    assert (found.level, "'2000000 bytes'" in found.why) == (Level.FAIL, True)


@pytest.mark.parametrize("servers", ["kafka..local:9092", f"{'k' * 64}.local"])
def test_an_address_that_nothing_can_have_is_told(servers: str) -> None:
    [(address, why)] = unreachable(addresses(servers)).items()
    assert (str(address).partition(":")[0], why) == (servers.partition(":")[0], "no address can be written like this")


RELAY = {
    "name": "r",
    "leading": True,
    "leader": "h:1",
    "tail": 9,
    "pending": 5,
    "oldest_pending_seconds": 1.0,
    "saved_seconds_ago": 0.1,
}


@pytest.mark.parametrize(
    ("changed", "level"),
    [
        ({}, "ok"),
        ({"oldest_pending_seconds": None, "pending": 0}, "ok"),
        ({"oldest_pending_seconds": 61.0}, "fail"),
        ({"leading": False, "saved_seconds_ago": 21.0}, "fail"),
        ({"leading": False, "saved_seconds_ago": 21.0, "pending": 0}, "warn"),
        ({"leading": False, "saved_seconds_ago": 5.0}, "warn"),
        ({"leading": False, "saved_seconds_ago": 5.0, "oldest_pending_seconds": 61.0}, "fail"),
        ({"name": "another"}, "warn"),
    ],
)
def test_a_relay_is_judged_by_what_waits(changed: dict[str, object], level: str) -> None:
    assert judge_relay("r", [RELAY | changed]).level == level


def test_a_cursor_that_stands_still_is_named_in_the_schema_that_is_configured() -> None:
    idle = {
        "name": "it's",
        "leading": False,
        "saved_seconds_ago": 99.0,
        "saved_at": datetime(2026, 1, 1, tzinfo=UTC),
        "tail": 9,
    }
    mend = judge_others("r", [idle], 'My "Own"').mend
    assert mend.endswith("""DELETE FROM "My ""Own""\".\"relay_cursor" WHERE name = 'it''s'""")


def test_the_others() -> None:
    assert judge_standby("r", 0, leading=True).level == "warn"  # the lead is held by something else
    assert judge_standby("r", 2, leading=True).level == "ok"
    assert judge_refused(0, 3, "t").level == "warn"
    assert judge_lag({"c": 10_001}, {"c": 1}).level == "warn"
    assert judge_lag({"c": 1}, {"c": 0}).level == "fail"
    assert judge_lag({"c": 0}, {"c": 0}).level == "ok"
