"""What a relay says of itself after an error."""

from confluent_kafka import KafkaError, KafkaException

from txbox.daemon import Database, Kafka
from txbox.relay import Relay


def test_a_broker_that_answers_makes_no_relay_ready_that_kafka_has_just_failed():
    """The next term asks for a broker, before it asks for the topic whose making failed."""
    relay = Relay(Database(url=""), Kafka(bootstrap_servers="127.0.0.1:1"))
    for check in ("database", "kafka", "publishing"):
        relay.health.set(check, True)
    relay._survive(KafkaException(KafkaError(KafkaError.INVALID_REPLICATION_FACTOR)))
    relay._kafka_is(True, "")
    assert not relay.health.report().ready
