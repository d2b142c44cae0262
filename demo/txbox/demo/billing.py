"""The billing service: charges for each order that it is told of.

Run by `txbox consume txbox.demo.billing:consumer`.
"""

from typing import Any

from psycopg import Connection

from txbox.consumer import Consumer, Received
from txbox.demo.shop import PLACED, TOPIC

__all__ = ["charge", "consumer"]

consumer = Consumer("billing", topics=[TOPIC])


@consumer.handler(PLACED)
def charge(conn: Connection, message: Received) -> None:
    """Charge for an order. To be told twice would be to charge twice: it is txbox that prevents it."""
    record_charge(conn, message.payload)


def record_charge(conn: Connection, placed: Any) -> None:
    """Write the charge, and what the customer owes."""
    conn.execute(
        "INSERT INTO charges (order_id, customer, nth, amount) VALUES (%(order)s, %(customer)s, %(nth)s, %(total)s)",
        placed,
    )
    conn.execute("UPDATE accounts SET owed = owed + %(total)s WHERE customer = %(customer)s", placed)
