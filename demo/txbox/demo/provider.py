"""A payment provider as they are: some calls fail, some cards have expired, and on a bad day it is away for everybody.

What is the matter with it stands in billing's database, where the demonstration turns it.
"""

import random
from typing import Final

from psycopg import Connection

__all__ = ["PaymentFailed", "pay"]

#: the share of calls that fail for no reason
_FLAKY: Final = 0.03


class PaymentFailed(Exception):
    """There was no payment. Whether another try is of use, nobody can tell from here."""


def pay(conn: Connection, customer: int) -> None:
    """Take the money from a customer's card. Raises PaymentFailed."""
    row = conn.execute("SELECT away_until > clock_timestamp(), expired_card FROM provider", prepare=True).fetchone()
    assert row is not None, "the provider has its row"  # noqa: S101
    away, expired_card = row
    if away:
        raise PaymentFailed("the provider is away")
    if customer == expired_card:
        raise PaymentFailed(f"the card of customer {customer} has expired")
    if random.random() < _FLAKY:  # noqa: S311  # chance, not secrets
        raise PaymentFailed("the provider gave no answer")
