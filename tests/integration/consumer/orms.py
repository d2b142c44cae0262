"""What handlers do, in each framework's words."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from django.db import connection as django_connection
from django.db import transaction
from psycopg import Connection
from sqlalchemy import text
from sqlalchemy.orm import Session

from tests.integration.frameworks import DjangoOrder, Order
from txbox.consumer import Received
from txbox.consumer.django import Atomic
from txbox.consumer.guard import GuardedConnection
from txbox.consumer.sqlalchemy import Sessions
from txbox.consumer.transactions import Transactions

__all__ = ["DJANGO_ADDS", "ORMS", "Handle", "Orm", "orders", "transactions_of"]

Handle = Callable[[Any, Received], object]


class Orm(ABC):
    """What a handler does, in a framework's words."""

    transactions: Callable[[GuardedConnection], Transactions]

    @abstractmethod
    def add(self, given: Any, id_: int, note: str = "", total: int | None = None) -> None: ...
    @abstractmethod
    def execute(self, given: Any, statement: str) -> None: ...
    @abstractmethod
    def block(self, given: Any) -> AbstractContextManager[Any]: ...
    @abstractmethod
    def endings(self) -> dict[str, Handle]: ...


class SqlAlchemy(Orm):
    transactions = Sessions

    def add(self, given: Session, id_: int, note: str = "", total: int | None = None) -> None:
        given.add(Order(id=id_, note=note, total=total))

    def execute(self, given: Session, statement: str) -> None:
        given.execute(text(statement))

    def block(self, given: Session) -> AbstractContextManager[Any]:
        return given.begin_nested()

    def endings(self) -> dict[str, Handle]:
        return {
            r"session\.commit\(\)": lambda session, _: session.commit(),
            r"session\.rollback\(\)": lambda session, _: session.rollback(),
            "COMMIT": lambda session, _: session.execute(text("COMMIT")),
            "ROLLBACK": lambda session, _: session.connection().exec_driver_sql("/* so */ rollback"),
            "conn.close": lambda session, _: session.connection().connection.driver_connection.close(),
        }


class Django(Orm):
    transactions = Atomic

    def add(self, given: Any, id_: int, note: str = "", total: int | None = None) -> None:
        DjangoOrder.objects.create(id=id_, note=note, total=total, details={"a": ["ü"]})

    def execute(self, given: Any, statement: str) -> None:
        with given.cursor() as cursor:
            cursor.execute(statement)

    def block(self, given: Any) -> AbstractContextManager[Any]:
        return transaction.atomic()

    def endings(self) -> dict[str, Handle]:
        return {
            "'atomic' block is active": lambda *_: transaction.commit(),
            "when an 'atomic' block": lambda connection, _: connection.rollback(),
            "COMMIT": lambda connection, _: self.execute(connection, "COMMIT"),
            "ROLLBACK": lambda *_: self.execute(django_connection, "/* so */ rollback"),
            r"connection\.close\(\)": lambda *_: django_connection.close(),
            "durable": lambda *_: transaction.atomic(durable=True).__enter__(),
        }


#: where Django's handler adds an order; a Session is flushed when its handler is over
DJANGO_ADDS = f"{__file__}:{Django.add.__code__.co_firstlineno + 1}"
ORMS = {"SQLAlchemy": SqlAlchemy(), "Django": Django()}


@contextmanager
def transactions_of(orm: Orm, guarded: GuardedConnection) -> Iterator[Transactions]:
    """The framework's transactions, on the consumer's connection."""
    transactions = orm.transactions(guarded)
    yield transactions
    transactions.close()


def orders(conn: Connection[Any]) -> list[int]:
    """The ids of all orders that are committed."""
    return [id_ for (id_,) in conn.execute("SELECT id FROM orders ORDER BY id")]
