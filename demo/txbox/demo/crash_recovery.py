"""Orders are placed while the relay and the billing service are killed, again and again. Then it is counted.

Meanwhile payments fail: some by chance, one customer's until a person comes, and on a bad day all of them.

Everything is real: a PostgreSQL, a Kafka, and each service a process of its own, killed with SIGKILL.
"""

import random
import tempfile
import time
from collections.abc import Callable
from functools import partial
from operator import itemgetter
from pathlib import Path

from txbox.daemon import POINTS, Stop
from txbox.demo import evidence
from txbox.demo.killer import schedule
from txbox.demo.screen import Screen
from txbox.demo.services import Services
from txbox.demo.shop import open_shop
from txbox.demo.trouble import PLANNED_DEAD, Trouble
from txbox.demo.verdict import Verdict, judge
from txbox.sandbox import temporary

__all__ = ["run"]

#: failpoints that nothing here passes: they belong to messages that people send again
_UNSEEN = ("relay.retried", "relay.released")
#: seconds until everything must be charged, once no more orders are placed
_SETTLED = 60.0
#: when billing's payment provider goes away, and when a person looks after what is dead: shares of the whole
_BAD_DAY, _PERSON = 0.45, 0.95


def run(*, kills: int = 14, seconds: float = 40.0, seed: int | None = None, dedupe: bool = True) -> bool:
    """Run the demonstration on servers of its own, print it, and return whether every promise was kept.

    `dedupe=False` puts a billing service without an inbox in the place of ours, which asks for no payments: it must end
    with double effects.
    Ctrl-C ends the placing of orders early; what was placed is judged all the same.
    """
    screen, stop = Screen(), Stop()
    seed = random.SystemRandom().randrange(10**6) if seed is None else seed
    screen.event(f"seed {seed}: the same seed kills the same services at the same places")
    with (
        stop.on_signals(),
        tempfile.TemporaryDirectory(prefix="txbox-demo-") as folder,
        temporary(screen.event) as servers,
    ):
        screen.event(f"PostgreSQL {servers.postgres_version} and Kafka {servers.kafka_version} are up")
        shop = open_shop(servers.database_url, servers.bootstrap_servers)
        services = Services(shop, Path(folder), screen, seed=seed, dedupe=dedupe)
        # Billing without an inbox has none of the consumer's failpoints: it is killed at random moments only.
        points = [point for point in POINTS if point not in _UNSEEN and (dedupe or point.startswith("relay."))]
        trouble = Trouble(services)
        with services.running():
            began = time.monotonic()
            happenings: list[tuple[float, Callable[[], None]]] = [
                (kill.at, partial(services.kill, kill)) for kill in schedule(kills, seconds, seed, points)
            ]
            if dedupe:
                trouble.stranger()
                happenings.append((_BAD_DAY * seconds, trouble.slow_day))
            for at, happen in sorted(happenings, key=itemgetter(0)):
                if not services.watch(began + at, stop):
                    happen()
            services.watch(began + _PERSON * seconds, stop)
            if dedupe:
                trouble.person()
            services.watch(began + seconds, stop)
            screen.event("no more orders; waiting until all are charged")
            services.settle(_SETTLED)
        verdict = _judge(services, PLANNED_DEAD if dedupe else 0)
        screen.verdict(verdict, len(services.kills), services.unexpected)
    return verdict.passed and not services.unexpected


def _judge(services: Services, planned_dead: int) -> Verdict:
    shop = services.shop
    return judge(
        evidence.orders(shop),
        evidence.wire(shop),
        evidence.charges(shop),
        evidence.owed(shop),
        evidence.held(shop),
        kills=services.kills,
        planned_dead=planned_dead,
    )
