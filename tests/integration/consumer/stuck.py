"""A consumer whose handler has its effect and then never returns, if the environment says so."""

import os
import signal
import sys

from psycopg import Connection

from tests.integration.consumer.apps import add_effect
from txbox.consumer import Consumer, Received

consumer = Consumer(os.environ["STUCK_TOPIC"], topics=[os.environ["STUCK_TOPIC"]])


@consumer.handler("T")
def handle(conn: Connection, message: Received) -> None:
    """Pass over every signal, as a handler does that waits for somebody else."""
    add_effect(conn, message)
    print("at it", file=sys.stderr, flush=True)
    while os.environ["STUCK"] == "yes":
        signal.pause()
