"""Members that come and go while messages flow, by every protocol of Kafka's: one effect each, a key's in order."""

import pytest

from tests.integration.consumer.group import PROTOCOLS, Group
from tests.integration.consumer.storm import storm


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_one_effect_each_in_order_while_members_come_and_go(group: Group, protocol: str) -> None:
    group.client = PROTOCOLS[protocol]
    storm(group, rounds=1, static=False)


def test_one_effect_each_in_order_while_static_members_come_and_go(group: Group) -> None:
    storm(group, rounds=1, static=True)
