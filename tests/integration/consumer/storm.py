"""A storm of rebalances: members that join and leave while messages flow."""

from typing import Any

from tests.integration.consumer.group import Group

__all__ = ["storm"]


def storm(group: Group, *, rounds: int, static: bool) -> None:
    """Let two more members come and go, so many times; fail if the group's effects are not what they should be.

    A static member that goes keeps its partitions until it comes back, or its session has timed out.
    """

    def named(name: str) -> dict[str, Any]:
        return {"instance_id": name} if static else {}

    with group.thread(**named("a")) as stays:
        with group.traffic.flowing():
            for _ in range(rounds):
                with group.thread(**named("b")) as second, group.thread(**named("c")) as third:
                    group.share(stays, second, third)
                    group.traffic.more(group.effects, 100)
                group.traffic.more(group.effects, 100)
        group.settled()
