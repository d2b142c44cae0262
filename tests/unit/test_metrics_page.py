"""The page of metrics and the code name the same ones."""

import re
from pathlib import Path

from prometheus_client import CollectorRegistry

from txbox.consumer.metrics import ConsumerMetrics
from txbox.daemon.versions import build_info
from txbox.relay.metrics import RelayMetrics

PAGE = Path(__file__).parent.parent.parent / "docs" / "metrics.md"


def test_every_metric_is_on_the_page_with_its_type_and_no_other_is():
    relay, consumer = CollectorRegistry(), CollectorRegistry()
    RelayMetrics(relay)
    ConsumerMetrics("billing", consumer)
    build_info(relay)
    in_code = {
        (family.name + "_total" if family.type == "counter" else family.name, family.type)
        for registry in (relay, consumer)
        for family in registry.collect()
    }
    on_page = set(re.findall(r"^\| `(txbox_\w+)` \| (\w+) \|", PAGE.read_text(), re.MULTILINE))
    assert on_page == in_code
