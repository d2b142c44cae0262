"""A consumer whose handlers fail in every way that has a message's payload in the error's text."""

import logging
from typing import Any

import psycopg

from txbox.consumer import Consumer, Received, Retry

__all__ = ["consumer"]

consumer = Consumer("canaries", topics=["canaries"], retry=Retry(attempts=2, first=0.01), then="release")


@consumer.handler("Python")
def python(conn: psycopg.Connection[Any], message: Received) -> None:
    try:
        raise ValueError(message.payload)
    except ValueError as error:
        raise RuntimeError(f"{message.payload} {message.key} {message.headers}") from error


@consumer.handler("Sql")
def sql(conn: psycopg.Connection[Any], message: Received) -> None:
    """PostgreSQL tells the values: Key (v)=(...) already exists."""
    conn.execute("CREATE TABLE IF NOT EXISTS once (v text PRIMARY KEY)")
    for _ in range(2):
        conn.execute("INSERT INTO once VALUES (%s)", (str(message.payload) + str(message.key),))


@consumer.handler("Fine")
def fine(conn: psycopg.Connection[Any], message: Received) -> None:
    logging.getLogger("canary_app").info("handled %s", message.id)
