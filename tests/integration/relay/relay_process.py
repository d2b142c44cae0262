"""A relay in a process of its own: python -m tests.integration.relay.relay_process DATABASE KAFKA."""

import sys

from txbox.daemon import Database, Kafka, Stop
from txbox.daemon.log import configure
from txbox.relay import Relay, RelayConfig


def main(database: str, kafka: str) -> None:
    configure(format="json")
    stop = Stop()
    relay = Relay(Database(url=database), Kafka(bootstrap_servers=kafka), RelayConfig(batch=500), stop=stop)
    with stop.on_signals():
        relay.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
