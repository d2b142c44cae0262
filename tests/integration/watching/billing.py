"""A consumer for `txbox consume`; the topic, which is its name too, comes from the environment."""

import os

from psycopg import Connection

from txbox.consumer import Consumer, Received, Reject

consumer = Consumer(os.environ["TXBOX_TEST_TOPIC"], topics=[os.environ["TXBOX_TEST_TOPIC"]])


@consumer.handler("Placed")
def charge(conn: Connection, message: Received) -> None:
    """Do nothing: the inbox is effect enough."""


@consumer.handler("Wrong")
def refuse(conn: Connection, message: Received) -> None:
    """Let it be dead at once."""
    raise Reject("nobody wants it")
