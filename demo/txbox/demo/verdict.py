"""What the kills did to the shop. Pure.

Promises are counted from business tables and the topic only: txbox's own tables are no witness to what txbox did. Which
messages were held is told by a trigger on its table of them.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from uuid import UUID

__all__ = ["Charge", "Held", "Order", "Verdict", "Wire", "judge", "percentile"]


@dataclass(frozen=True, slots=True)
class Order:
    """A row of the orders service: it was committed."""

    id: UUID
    customer: int
    nth: int
    total: int
    placed_at: datetime


@dataclass(frozen=True, slots=True)
class Wire:
    """A message on the topic, in the order of its partition."""

    order: UUID
    customer: int
    nth: int
    partition: int


@dataclass(frozen=True, slots=True)
class Charge:
    """A row of the billing service, in the order in which it was written."""

    order: UUID
    customer: int
    nth: int
    amount: int
    charged_at: datetime


@dataclass(frozen=True, slots=True)
class Held:
    """A message that was held at some time."""

    message: UUID
    #: none, of a message that nobody can read
    order: UUID | None
    #: whether it was ever dead
    was_dead: bool
    #: whether it is held still
    left: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The figures. The first four must be 0, and the money the same."""

    #: committed orders without a message, or without a charge
    lost: int
    #: messages and charges of orders that were never committed
    ghosts: int
    #: first messages, or charges, that came before an earlier one of the same customer; partitions that a customer has
    #: beyond one
    misordered: int
    #: charges for orders that were charged already
    double_effects: int
    #: what customers ordered, what they were charged, and what their accounts say they owe
    ordered: int
    charged: int
    owed: int
    orders: int
    messages: int
    #: messages beyond one an order: allowed, and the reason why consumers dedupe
    duplicates: int
    #: messages that were held at some time; orders among them that were charged after all; those that were dead at some
    #: time, and how many should have been; those that are held still, waiting or dead
    held: int
    released: int
    dead: int
    planned_dead: int
    still_held: int
    #: seconds from each kill until an order placed after it was charged
    recoveries: Sequence[float]

    @property
    def passed(self) -> bool:
        """Whether every promise was kept."""
        kept = self.lost == self.ghosts == self.misordered == self.double_effects == 0
        mended = self.dead == self.planned_dead and self.still_held == 0
        return kept and mended and self.ordered == self.charged == self.owed and self.orders > 0


def judge(
    orders: Sequence[Order],
    wire: Sequence[Wire],
    charges: Sequence[Charge],
    owed: int,
    held: Sequence[Held] = (),
    *,
    kills: Iterable[datetime] = (),
    planned_dead: int = 0,
) -> Verdict:
    """Compare what was ordered with what was told and what was charged."""
    committed = {order.id for order in orders}
    told = {message.order for message in wire}
    charged = Counter(charge.order for charge in charges)
    return Verdict(
        lost=len(committed - told) + len(committed - charged.keys()),
        ghosts=len(told - committed) + len(charged.keys() - committed),
        misordered=_misordered(wire) + _misordered(charges) + _strays(wire),
        double_effects=sum(charged.values()) - len(charged),
        ordered=sum(order.total for order in orders),
        charged=sum(charge.amount for charge in charges),
        owed=owed,
        orders=len(orders),
        messages=len(wire),
        duplicates=len(wire) - len(told),
        held=len(held),
        released=sum(one.order in charged for one in held),
        dead=sum(one.was_dead for one in held),
        planned_dead=planned_dead,
        still_held=sum(one.left for one in held),
        recoveries=_recoveries(orders, charges, kills),
    )


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that at least `share` (0 to 1) of the values do not exceed; 0 of none."""
    if not values:
        return 0.0
    ranked = sorted(values)
    return ranked[max(0, -(-int(share * 100) * len(ranked) // 100) - 1)]


def _misordered(seen: Iterable[Wire | Charge]) -> int:
    """Count first occurrences that follow a later one of the same customer."""
    firsts: dict[int, list[int]] = {}
    known: set[UUID] = set()
    for one in seen:
        if one.order not in known:
            known.add(one.order)
            firsts.setdefault(one.customer, []).append(one.nth)
    return sum(later < earlier for nths in firsts.values() for earlier, later in pairwise(nths))


def _strays(wire: Iterable[Wire]) -> int:
    """Count partitions beyond one a customer: the order of two partitions is no order."""
    partitions = {(message.customer, message.partition) for message in wire}
    return len(partitions) - len({customer for customer, _ in partitions})


def _recoveries(orders: Sequence[Order], charges: Sequence[Charge], kills: Iterable[datetime]) -> list[float]:
    """Return for each kill how long it took until an order placed after it was charged."""
    charged_at: dict[UUID, datetime] = {}
    for charge in charges:
        charged_at.setdefault(charge.order, charge.charged_at)
    recoveries = []
    for kill in kills:
        after = [charged_at[o.id] for o in orders if o.placed_at > kill and o.id in charged_at]
        if after:
            recoveries.append((min(after) - kill).total_seconds())
    return recoveries
