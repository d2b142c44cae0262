"""Orders are placed while the relay and the billing service are killed, again and again. Then it is counted.

Everything is real: a PostgreSQL, a Kafka, and each service a process of its own, killed with SIGKILL.
"""

import random
import tempfile
import time
from pathlib import Path

from txbox.daemon import POINTS, Stop
from txbox.demo import evidence
from txbox.demo.killer import schedule
from txbox.demo.screen import Screen
from txbox.demo.services import Services
from txbox.demo.shop import open_shop
from txbox.demo.verdict import Verdict, judge
from txbox.sandbox import Sandbox

__all__ = ["run"]

#: failpoints that nothing here passes: they belong to messages that people send again
_UNSEEN = ("relay.retried", "relay.released")
#: seconds until everything must be charged, once no more orders are placed
_SETTLED = 60.0


def run(*, kills: int = 14, seconds: float = 40.0, seed: int | None = None, dedupe: bool = True) -> bool:
    """Run the demonstration on servers of its own, print it, and return whether every promise was kept.

    `dedupe=False` puts a billing service without an inbox in the place of ours: it must end with double effects.
    Ctrl-C ends the placing of orders early; what was placed is judged all the same.
    """
    screen, stop = Screen(), Stop()
    seed = random.SystemRandom().randrange(10**6) if seed is None else seed
    screen.event(f"seed {seed}: the same seed kills the same services at the same places")
    with (
        stop.on_signals(),
        tempfile.TemporaryDirectory(prefix="txbox-demo-") as folder,
        Sandbox(progress=screen.event) as servers,
    ):
        screen.event(f"PostgreSQL {servers.postgres_version} and Kafka {servers.kafka_version} are up")
        shop = open_shop(servers.database_url, servers.bootstrap_servers)
        services = Services(shop, Path(folder), screen, seed=seed, dedupe=dedupe)
        # Billing without an inbox has none of the consumer's failpoints: it is killed at random moments only.
        points = [point for point in POINTS if point not in _UNSEEN and (dedupe or point.startswith("relay."))]
        with services.running():
            began = time.monotonic()
            for kill in schedule(kills, seconds, seed, points):
                if not services.watch(began + kill.at, stop):
                    services.kill(kill)
            services.watch(began + seconds, stop)
            screen.event("no more orders; waiting until all are charged")
            services.settle(_SETTLED)
        verdict = _judge(services)
        screen.verdict(verdict, len(services.kills), services.unexpected)
    return verdict.passed and not services.unexpected


def _judge(services: Services) -> Verdict:
    shop = services.shop
    return judge(
        evidence.orders(shop), evidence.wire(shop), evidence.charges(shop), evidence.owed(shop), services.kills
    )
