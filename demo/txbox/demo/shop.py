"""A shop of two services, each with a database of its own: orders tells billing by a message."""

from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg import sql

from txbox.schema import Statements, migrate, roles

__all__ = ["CUSTOMERS", "EXPIRED_CARD", "PLACED", "TOPIC", "Shop", "furnish", "open_shop"]

TOPIC: Final = "orders"
PLACED: Final = "OrderPlaced"
CUSTOMERS: Final = 50
#: the customer whose payments fail until somebody does something about it
EXPIRED_CARD: Final = 13
#: users of the billing service's database
_BILLING: Final = frozenset({"shop_billing", "shop_on_call"})
_STATEMENTS: Final = Statements(__package__, "shop.sql", "public")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shop:
    """Where the shop is. These URLs are the owner's; services have `url_of` one of their users."""

    orders_url: str
    billing_url: str
    bootstrap_servers: str

    def url_of(self, user: str) -> str:
        """Return the URL with which a user of shop.sql connects: each may do what its service does, and no more."""
        url = urlsplit(self.billing_url if user in _BILLING else self.orders_url)
        return urlunsplit(url._replace(netloc=f"{user}@{url.hostname}:{url.port}"))


def open_shop(server_url: str, bootstrap_servers: str) -> Shop:
    """Make both databases with their tables, txbox's and the shop's own."""
    shop = Shop(
        orders_url=_database(server_url, "shop_orders"),
        billing_url=_database(server_url, "shop_billing"),
        bootstrap_servers=bootstrap_servers,
    )
    for url, users in ((shop.orders_url, "orders_users"), (shop.billing_url, "billing_users")):
        with psycopg.connect(url, autocommit=True) as conn:
            migrate(conn)
            conn.execute(roles().encode())
            conn.execute(_STATEMENTS[users])
    furnish(shop, expired_card=EXPIRED_CARD)
    return shop


def furnish(shop: Shop, *, expired_card: int | None) -> None:
    """Make the shop's own tables, where they are not, in databases that have txbox's and the shop's users."""
    parameters = {"customers": CUSTOMERS, "expired_card": expired_card}
    for url, names in (
        (shop.orders_url, ["orders", "orders_grants"]),
        (shop.billing_url, ["billing", "provider", "held", "billing_grants"]),
    ):
        with psycopg.connect(url) as conn:
            if _has(conn, names[-2]):
                continue
            for name in names:
                psycopg.ClientCursor(conn).execute(_STATEMENTS[name], parameters)


def _has(conn: psycopg.Connection, table: str) -> bool:
    return conn.execute("SELECT to_regclass(%s) IS NOT NULL", [f"public.{table}"]).fetchone() == (True,)


def _database(server_url: str, name: str) -> str:
    """Make a database; return its URL."""
    with psycopg.connect(server_url, autocommit=True) as conn:
        conn.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    return urlunsplit(urlsplit(server_url)._replace(path=f"/{name}"))
