"""Everything comes once more: nothing is handled again, and it takes few transactions."""

from tests.integration.consumer.group import Group
from tests.waiting import eventually


def test_messages_that_come_again_go_by_in_large_batches(group: Group) -> None:
    group.traffic.write(2000)
    with group.thread():
        group.settled()
    group.topics.rewind(group.topic, group.topic)
    with group.thread() as again:
        eventually(lambda: group.topics.committed(group.topic, group.topic) == 2000, within=60)
        labels = {"consumer": group.topic, "outcome": "committed"}
        transactions = again.registry.get_sample_value("txbox_consumer_transactions_total", labels) or 0
    assert 0 < transactions < 500
    assert group.effects.count() == 2000
