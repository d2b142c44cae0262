"""What a process says of itself."""

from prometheus_client import CollectorRegistry

from txbox.daemon import Check, Health
from txbox.daemon.health import checks


def test_ready_is_earned_by_every_check() -> None:
    health = Health("database", "kafka", role="standby")
    assert not health.report().ready
    health.set("database", True)
    assert not health.report().ready
    health.set("kafka", True)
    assert health.report().ready
    health.set("database", False, "away")
    assert not health.report().ready
    assert health.report().checks["database"] == Check(ok=False, why="away")


def test_a_report_does_not_change_afterwards() -> None:
    health = Health("database", role="standby")
    report = health.report()
    health.set("database", True)
    health.role("leader")
    assert (report.ready, report.role) == (False, "standby")
    assert health.report().role == "leader"


def test_alive_as_long_as_the_loop_turns() -> None:
    now = [0.0]
    health = Health(role="x", clock=lambda: now[0])
    now[0] = 59
    assert health.live()
    now[0] = 61
    assert not health.live()
    health.beat()
    assert health.live()


def test_a_scrape_sees_which_checks_are_passed() -> None:
    registry, health = CollectorRegistry(), Health("database", "kafka", role="consumer")
    checks(health, registry)
    health.set("database", True)
    assert [registry.get_sample_value("txbox_check_ok", {"check": name}) for name in ("database", "kafka")] == [1, 0]
