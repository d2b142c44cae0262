"""An orders table as SQLAlchemy and Django see it."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import unquote, urlsplit

import django
from django.conf import settings
from django.db import connections, models
from sqlalchemy import URL, make_url
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

__all__ = ["TABLE", "DjangoOrder", "Order", "django_database", "sqlalchemy_url"]

TABLE = """
CREATE TABLE orders (
    id int PRIMARY KEY, note text NOT NULL DEFAULT '' CHECK (note <> 'bad'),
    total int UNIQUE DEFERRABLE INITIALLY DEFERRED, placed_at timestamptz NOT NULL DEFAULT now(), details jsonb
)
"""


class Base(DeclarativeBase):
    """SQLAlchemy's."""


class Order(Base):
    """As SQLAlchemy maps it."""

    __tablename__ = "orders"
    id: Mapped[int] = mapped_column(primary_key=True)
    note: Mapped[str] = mapped_column(default="")
    total: Mapped[int | None]


settings.configure(DATABASES={}, USE_TZ=True, TIME_ZONE="Europe/Vienna")
django.setup()


class DjangoOrder(models.Model):
    """As Django maps it."""

    id: Any = models.IntegerField(primary_key=True)
    note: Any = models.TextField(default="")
    total: Any = models.IntegerField(null=True)
    placed_at: Any = models.DateTimeField(auto_now_add=True)
    details: Any = models.JSONField(null=True)

    class Meta:
        """Where it is."""

        app_label = "shop"
        db_table = "orders"


def sqlalchemy_url(url: str, driver: str) -> URL:
    return make_url(url).set(drivername=f"postgresql+{driver}")


@contextmanager
def django_database(url: str, **options: Any) -> Iterator[None]:
    """Let Django's default alias be this database."""
    parts = urlsplit(url)
    database = {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": parts.path.lstrip("/"),
        "USER": parts.username or "",
        "PASSWORD": unquote(parts.password or ""),
        "HOST": parts.hostname or "",
        "PORT": str(parts.port or ""),
        "OPTIONS": options,
    }
    vars(connections)["settings"] = connections.configure_settings({"default": database})
    with suppress(AttributeError):  # a look at django.db.connection is enough to have one
        del connections["default"]
    try:
        yield
    finally:
        connections["default"].close()
        del connections["default"]
