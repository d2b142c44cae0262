"""What goes wrong in the shop besides the kills, and what a person does about it."""

import subprocess
import sys
from collections import Counter
from typing import Final, LiteralString

import psycopg
from confluent_kafka import Producer

from txbox.demo.services import Services, eventually
from txbox.demo.shop import EXPIRED_CARD, PLACED, TOPIC

__all__ = ["PLANNED_DEAD", "Trouble"]

#: an order whose customer's card has expired, and a stranger's message
PLANNED_DEAD: Final = 2
#: seconds that the provider stays away once billing has noticed; less than an order is tried for
_AWAY: Final = 3.0
#: seconds for billing to notice, and for what must die to be dead
_PATIENCE: Final = 60.0
#: what billing logs when it has noticed
_NOTICED: Final = "everything fails"


class Trouble:
    """Billing's, while it runs."""

    def __init__(self, services: Services) -> None:
        self._services, self._shop, self._screen = services, services.shop, services.screen

    def stranger(self) -> None:
        """Send what a stranger might: a message that is none. It must be put aside, and hold up nothing."""
        producer = Producer({"bootstrap.servers": self._shop.bootstrap_servers})
        producer.produce(TOPIC, b"not JSON", headers=[("type", PLACED.encode())])
        producer.flush(10)
        self._screen.event("a stranger sends a message that nobody can read", style="yellow")

    def slow_day(self) -> None:
        """Take the provider away from everybody: billing must notice, wait, and blame no order for it."""
        noticed = self._services.billing.logged(_NOTICED)
        self._change("UPDATE provider SET away_until = 'infinity'")
        self._screen.event("the payment provider is away for everybody", style="yellow")
        if eventually(lambda: self._services.billing.logged(_NOTICED) > noticed, _PATIENCE):
            self._screen.event("billing has noticed: it tries one order now and then", style="yellow")
        else:
            self._services.note(f"billing did not notice within {_PATIENCE:.0f} s that everything fails")
        self._change("UPDATE provider SET away_until = clock_timestamp() + %s * interval '1 s'", _AWAY)

    def person(self) -> None:
        """Do what a person does about dead messages: mend what is wrong, have them tried again, or give them up."""
        if not eventually(lambda: sum(self._dead().values()) >= PLANNED_DEAD, _PATIENCE):
            self._services.note(f"{PLANNED_DEAD} messages must be dead by now: {dict(self._dead())}")
        dead = ", ".join(f"{count} {reason}" for reason, count in sorted(self._dead().items()))
        self._screen.event(f"dead: {dead}. Customer {EXPIRED_CARD} gets a new card", style="yellow")
        self._change("UPDATE provider SET expired_card = NULL")
        self._type("held", "retry", "--consumer", "billing", "--reason", "attempts")
        self._type("held", "discard", "--consumer", "billing", "--reason", "no_id")

    def _dead(self) -> Counter[str]:
        """Return how many messages are dead, by reason."""
        with psycopg.connect(self._shop.billing_url) as conn:
            return Counter(
                reason for (reason,) in conn.execute("SELECT reason FROM txbox.held_messages WHERE state = 'dead'")
            )

    def _change(self, statement: LiteralString, *parameters: float) -> None:
        with psycopg.connect(self._shop.billing_url, autocommit=True) as conn:
            conn.execute(statement, parameters)

    def _type(self, *command: str) -> None:
        """Run a command as a person would type it."""
        self._screen.event(f"$ txbox {' '.join(command)}", style="bold")
        done = subprocess.run(
            [sys.executable, "-m", "txbox.cli", *command],
            env=self._services.environment(self._shop.url_of("shop_on_call")),
            capture_output=True,
            text=True,
            timeout=60,
        )
        if done.returncode:
            self._services.note(f"txbox {' '.join(command)} ended with {done.returncode}: {done.stderr.strip()}")
