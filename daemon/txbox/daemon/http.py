"""/metrics, /livez and /readyz of a daemon, on a port of its own and in threads of its own."""

import errno
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import socket
from typing import Final

import orjson
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from txbox.daemon.errors import CannotListen, PortTaken
from txbox.daemon.health import Health

__all__ = ["Http", "serving"]

#: seconds after which a client that sends or takes nothing is dropped
_PATIENCE: Final = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Http:
    """Where a daemon listens."""

    #: loopback unless told otherwise: nothing here is for the world
    host: str = "127.0.0.1"
    #: 0 for any free port, None for no server at all
    port: int | None = 0


@contextmanager
def serving(http: Http, health: Health, registry: CollectorRegistry) -> Iterator[int | None]:
    """Serve until the block ends; yields the port, None when there is no server. Raises PortTaken, CannotListen.

    A scrape never waits for the loop and the loop never waits for a scrape.
    """
    if http.port is None:
        yield None
        return
    try:
        server = _Server((http.host, http.port), _handler(health, registry))
    except OSError as error:
        raise (PortTaken if error.errno == errno.EADDRINUSE else CannotListen)(http.host, http.port) from error
    thread = threading.Thread(target=server.serve_forever, name="http", kwargs={"poll_interval": 0.1}, daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: socket | tuple[bytes, socket], client_address: object) -> None:
        """A client that went away is no news."""


def _handler(health: Health, registry: CollectorRegistry) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = _PATIENCE

        def do_GET(self) -> None:
            match self.path.partition("?")[0]:
                case "/metrics":
                    encode, content_type = choose_encoder(self.headers.get("Accept") or "")
                    self._answer(HTTPStatus.OK, content_type, encode(registry))
                case "/livez":
                    live = health.live()
                    self._json(live, {"live": live})
                case "/readyz":
                    report = health.report()
                    self._json(report.ready, report)
                case _:
                    self._answer(HTTPStatus.NOT_FOUND, "text/plain", b"see /metrics, /livez, /readyz\n")

        def _json(self, well: bool, body: object) -> None:
            status = HTTPStatus.OK if well else HTTPStatus.SERVICE_UNAVAILABLE
            self._answer(status, "application/json", orjson.dumps(body, option=orjson.OPT_APPEND_NEWLINE))

        def _answer(self, status: HTTPStatus, content_type: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the name is the base class's
            """Requests are not logged: a scrape every few seconds would drown what matters."""

    return Handler
