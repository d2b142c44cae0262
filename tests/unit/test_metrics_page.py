"""The page of metrics is made of the code, and every metric is named as Prometheus' users expect."""

import re

from docs.metrics_page import PAGE, every, text


def test_page_is_what_the_code_says():
    assert PAGE.read_text() == text()


def test_every_metric_is_told_in_full():
    for metric in every().values():
        assert metric.meaning.endswith("."), metric
        assert metric.unit, metric


def test_names_follow_the_conventions():
    # https://prometheus.io/docs/practices/naming
    for name, metric in every().items():
        assert re.fullmatch(r"txbox_[a-z_]+", name)
        assert name.endswith("_total") == (metric.type == "counter"), metric


def test_no_label_grows_without_bound():
    labels = {label for metric in every().values() for label in metric.labels}
    assert labels <= {
        *("topic", "partition", "consumer", "type", "outcome", "state"),
        *("code", "server", "source", "check", "version", "python", "librdkafka"),
    }
