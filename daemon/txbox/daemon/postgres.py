"""Connections to Postgres that notice when the other end is gone."""

import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar, cast

import psycopg
from psycopg import sql
from psycopg.abc import PQGen
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import Row
from psycopg.waiting import Wait

from txbox.daemon.trust import explain_postgres

__all__ = ["Database", "Link", "UnfitUrl", "connect"]

C = TypeVar("C", bound=psycopg.Connection[Any])
R = TypeVar("R")

# A peer that vanished without a word (power, firewall) is noticed after 5 + 3 x 2 s; data that is not acknowledged,
# after 10 s: by us, and by the server, which else would keep a lost session's locks for two hours.
_PATIENCE: Final = {
    "connect_timeout": 5,
    "keepalives": 1,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}
_SERVERS_PATIENCE: Final = {
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "2",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "10s",
}
#: seconds beyond statement_timeout, after which even that a statement was broken off would have been heard
_GRACE: Final = 5.0


class UnfitUrl(psycopg.OperationalError):
    """No server can be told from the URL. It is never shown: libpq would show the part that it stumbled over."""

    def __init__(self, why: str) -> None:
        super().__init__(f"database.url: {why}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Database:
    """Which database, and which schema in it."""

    #: libpq's URL or key=value form; empty takes PGHOST, PGDATABASE and their like
    url: str = field(repr=False)
    schema: str = "txbox"
    #: seconds; 0 for none, and then nothing but TCP tells that a server is gone
    statement_timeout: float = 30.0
    #: has the URL, and is read for each connection: a password that is changed there needs no restart
    url_file: Path | None = None

    def parameters(self) -> dict[str, Any]:
        """Return what libpq is to be told, by its keywords, as it is now. Raises UnfitUrl."""
        try:
            url = self.url if self.url_file is None else self.url_file.read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise UnfitUrl(f"cannot read {self.url_file} ({type(error).__name__})") from None
        try:
            found = conninfo_to_dict(url)
        except psycopg.ProgrammingError:
            raise UnfitUrl("it is neither a postgresql:// URL nor key=value pairs") from None
        ports = str(found.get("port", "")).split(",")
        if "@" in str(found.get("host", "")) or not all(port.isdecimal() or not port for port in ports):
            raise UnfitUrl("a password with one of @:/?#% in it must have them percent-encoded (@ is %40)")
        return found


class Link(psycopg.Connection[Row]):
    """A connection on which nobody waits without end: a server that is silent for `patience` seconds is given up.

    A proxy, a mesh or a frozen server acknowledges what it never answers: keepalives notice nothing.
    """

    #: seconds of silence; each byte begins them anew
    patience: float = math.inf

    #: whether the next operation is only to be begun; and the one that was, with what it waits for
    _sending = False
    _sent: tuple[PQGen[Any], Wait] | None = None

    @contextmanager
    def sending(self) -> Iterator[None]:
        """Send the one statement that is executed inside; its result is waited for by `receive`.

        Whatever else is executed receives it first, so a statement never runs between two others that belong together.
        What goes wrong with it is raised there. Leave it not for long: a server cannot get rid of a large result, and
        gives up a client that does not read one.
        """
        self.receive()
        self._sending = True
        try:
            yield
        finally:
            self._sending = False

    def receive(self) -> None:
        """Wait for the result of what was sent, if there is something. Raises psycopg.Error."""
        if self._sent is not None:
            (gen, want), self._sent = self._sent, None
            super().wait(self._heard(gen, want))

    def wait(self, gen: PQGen[R], *args: Any, **kwargs: Any) -> R:
        """Run an operation to its end. Raises psycopg.OperationalError; the connection is closed then."""
        if not self._sending:
            self.receive()
            return super().wait(self._heard(gen), *args, **kwargs)
        self._sending = False
        with suppress(StopIteration):
            self._sent = gen, next(gen)
        return cast("R", None)

    def _heard(self, gen: PQGen[R], want: Wait | None = None) -> PQGen[R]:
        """Run `gen` for as long as something comes or goes; psycopg (3.2.11 or newer) looks ten times a second."""
        try:
            want = next(gen) if want is None else want
            last = time.monotonic()
            while True:
                ready = yield want
                now = time.monotonic()
                if ready:
                    last = now
                elif now - last > self.patience:
                    self.pgconn.finish()
                    raise psycopg.OperationalError(f"the server has not answered for {now - last:.0f} s")
                want = gen.send(ready)
        except StopIteration as end:
            result: R = end.value
            return result


def connect(kind: type[C], database: Database, name: str, settings: Mapping[str, str] | None = None) -> C:
    """Return an autocommit connection of class `kind` with `settings` in force; `name` is its application_name.

    Autocommit, so that a transaction is open only where the code says so. What the URL itself says of time-outs and
    keepalives wins over ours. A `Link` outwaits any statement a little. Raises psycopg.OperationalError.
    """
    given = database.parameters()
    own = {**_PATIENCE, "application_name": f"txbox {name}", **given}
    try:
        conn = kind.connect(make_conninfo("", **own), autocommit=True)
    except psycopg.OperationalError as error:
        error.args = (explain_postgres(error, given), *error.args[1:])
        raise
    if isinstance(conn, Link) and database.statement_timeout:
        conn.patience = database.statement_timeout + _GRACE
    timeout = str(int(database.statement_timeout * 1000))
    for key, value in {"statement_timeout": timeout, **_SERVERS_PATIENCE, **(settings or {})}.items():
        conn.execute(sql.SQL("SET {} = {}").format(sql.Identifier(key), sql.Literal(value)))
    return conn
