"""Members that are killed with SIGKILL, at every failpoint and anywhere: one effect each, a key's in order."""

from tests.integration.consumer.group import Group
from tests.integration.consumer.killing import kill_again_and_again


def test_one_effect_each_in_order_through_kills_at_random(group: Group) -> None:
    kill_again_and_again(group, times=4, seed=1)
