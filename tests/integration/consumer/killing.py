"""Kill members of a group while messages flow, and see that it shows nowhere."""

from contextlib import ExitStack
from random import Random

from tests.integration.consumer.group import Group
from tests.integration.running import Process

__all__ = ["kill_again_and_again"]

#: where they pass all the time, since their handlers fail now and then
_POINTS = [f"consumer.{name}" for name in ("handling", "handled", "committed", "holding", "retrying")]


def kill_again_and_again(group: Group, *, times: int, seed: int) -> None:
    """Kill one of two members so many times, and once more at a failpoint; fail if effects are not as they should be.

    They are static members: what is killed is started again at once and has its partitions back.
    """
    random = Random(seed)  # no secret
    with ExitStack() as members, group.traffic.flowing(every=0.1):

        def start(name: str, failpoint: str | None) -> Process:
            return members.enter_context(group.process(flaky=True, instance_id=name, failpoint=failpoint))

        names = ("a", "b")
        running = {name: start(name, None) for name in names}
        for _ in range(times):
            name = random.choice(names)
            group.traffic.more(group.effects, random.randrange(20, 100))
            running[name].kill()
            point = f"{random.choice(_POINTS)}:kill:{random.randrange(1, 5)}"
            dying = start(name, point)
            assert dying.ended() == -9
            running[name] = start(name, None)
        group.traffic.more(group.effects)
        ended = members.pop_all()
    with ended:
        group.settled(within=120)
