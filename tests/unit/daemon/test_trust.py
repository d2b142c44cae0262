"""What is said of trust, where no server is needed to say it."""

from confluent_kafka import KafkaError

from txbox.daemon.trust import explain_kafka


def test_a_name_that_nothing_can_have_is_told_and_ends_no_callback() -> None:
    text = "ssl://kafka..local:9093/bootstrap: SSL handshake failed: certificate verify failed"
    told = explain_kafka(KafkaError(KafkaError._SSL, text), {})
    assert told.startswith("the certificate of broker kafka..local:9093 is not trusted: ")
    assert told.endswith("look at the certificate and kafka.client ssl.ca.location (not set: the system is asked)")
