"""A member of a group in a process of its own: python -m tests.integration.consumer.member DATABASE KAFKA TOPIC [JSON].

The JSON has `client` (Kafka's settings), `flaky` (whether its handler fails now and then), and else what ConsumerConfig
takes. Its handler notes effects of `Traffic`.
"""

import json
import logging
import sys

from tests.integration.consumer.traffic import effect, flaky
from txbox.consumer import Consumer, ConsumerConfig, Runner
from txbox.daemon import Database, Kafka, Stop
from txbox.daemon.log import configure

_log = logging.getLogger(__name__)


def main(database: str, kafka: str, topic: str, options: str = "{}") -> None:
    configure(format="json")
    given = json.loads(options)
    client = given.pop("client", {})
    consumer = Consumer(topic, topics=[topic])  # a group of the test's own
    consumer.handler("N")(flaky if given.pop("flaky", False) else effect)
    stop = Stop()
    config = ConsumerConfig(**{"session_timeout": 6.0, "max_batch": 50, "backoff_cap": 0.5, **given})
    runner = Runner(consumer, Database(url=database), Kafka(bootstrap_servers=kafka, client=client), config, stop=stop)
    with stop.on_signals():
        runner.run()
    _log.info("ended")


if __name__ == "__main__":
    main(*sys.argv[1:])
