"""What a process says of itself."""

from txbox.daemon import Check, Health


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
