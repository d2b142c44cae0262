"""The billing service: charges for each order that it is told of.

Run by `txbox consume txbox.demo.billing:consumer`.
"""

from typing import Any

from psycopg import Connection

from txbox.consumer import Consumer, Received, Retry
from txbox.demo.provider import pay
from txbox.demo.shop import PLACED, TOPIC

__all__ = ["charge", "consumer"]

#: six seconds of trying, since nobody watches a demonstration for the seven minutes that are the default
consumer = Consumer("billing", topics=[TOPIC], retry=Retry(attempts=12, first=0.1, cap=1.0), then="hold")


@consumer.handler(PLACED)
def charge(conn: Connection, message: Received) -> None:
    """Charge for an order. To be told twice would be to charge twice: it is txbox that prevents it.

    Where the payment fails, this raises: txbox tries the order again, and keeps the customer's next ones behind it.
    """
    placed: Any = message.payload
    pay(conn, placed["customer"])
    record_charge(conn, placed)


def record_charge(conn: Connection, placed: Any) -> None:
    """Write the charge, and what the customer owes."""
    conn.execute(
        "INSERT INTO charges (order_id, customer, nth, amount) VALUES (%(order)s, %(customer)s, %(nth)s, %(total)s)",
        placed,
    )
    conn.execute("UPDATE accounts SET owed = owed + %(total)s WHERE customer = %(customer)s", placed)
