"""A relay in a process of its own: python -m tests.integration.relay.relay_process DATABASE KAFKA [RETENTION]."""

import sys

from txbox.daemon import Database, Kafka, Stop
from txbox.daemon.log import configure
from txbox.relay import Relay, RelayConfig


def main(database: str, kafka: str, retention: str = "0") -> None:
    configure(format="json")
    stop = Stop()
    config = RelayConfig(batch=500, retention=float(retention))
    relay = Relay(Database(url=database), Kafka(bootstrap_servers=kafka), config, stop=stop)
    with stop.on_signals():
        relay.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
