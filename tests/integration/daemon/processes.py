"""Small daemons for the tests: python -m tests.integration.daemon.processes WHAT."""

import sys

from txbox.daemon import Stop, failpoint


def wait_for_stop() -> None:
    """Say when ready, end when stopped; say whether it was asked twice."""
    stop = Stop()
    with stop.on_signals():
        print("ready", flush=True)
        stop.wait(60)
        print("asked", flush=True)
        while not stop.now:
            stop.wait(0.01)
        print("now", flush=True)


def pass_points() -> None:
    """Pass one failpoint three times."""
    for turn in (1, 2, 3):
        print(f"turn {turn}", flush=True)
        failpoint("relay.acked")
    print("end", flush=True)


def log_strange_lines() -> None:
    """Configure the console's log, and say what would steer a terminal or look like another line."""
    import logging

    from txbox.daemon.log import configure

    configure(level="info", format="console")
    logging.getLogger("txbox.test").info("event\x1b[2J", extra={"type": "\x1b[31mred", "key": "a\nFAKE"})


def log_lines() -> None:
    """Configure the log, and say a few things."""
    import logging

    from txbox.daemon.log import configure

    configure(level="info", format="json")
    log = logging.getLogger("txbox.test")
    log.info("something happened", extra={"topic": "orders", "count": 3})
    log.debug("not shown")
    try:
        _ = 1 / 0
    except ZeroDivisionError:
        log.exception("failed")


if __name__ == "__main__":
    {"stop": wait_for_stop, "points": pass_points, "log": log_lines, "strange": log_strange_lines}[sys.argv[1]]()
