"""The shop as a standing one: docker-compose.yml keeps it open, people kill what they like, and then it is counted.

`python -m txbox.demo.standing furnish|order|trading|judge`; where the shop is, the environment says.
"""

import os
import sys
import time
from typing import Final

from txbox.demo import evidence, orders
from txbox.demo.screen import Screen
from txbox.demo.services import eventually
from txbox.demo.shop import Shop, furnish
from txbox.demo.verdict import judge

__all__ = ["main"]

#: seconds until everything must be charged: a group whose member was killed waits for its session's end
_SETTLED: Final = 120.0
#: seconds between two orders of a writer, at most: a standing shop may stand all night
_PAUSE: Final = 0.2


def main(what: str) -> int:
    """Do one thing; return the exit code."""
    shop = Shop(
        orders_url=os.environ["SHOP_ORDERS_URL"],
        billing_url=os.environ["SHOP_BILLING_URL"],
        bootstrap_servers=os.environ["SHOP_BOOTSTRAP_SERVERS"],
    )
    match what:
        case "furnish":
            furnish(shop, expired_card=None)
        case "order":
            orders.main(shop.orders_url, seed=time.time_ns(), pause=_PAUSE)
        case "trading":
            return 0 if evidence.trading(shop) else 1
        case "judge":
            return _judge(shop)
        case _:
            raise SystemExit(f"{what!r}: furnish, order, trading or judge")
    return 0


def _judge(shop: Shop) -> int:
    """Wait until all orders are charged, count, and print it; 1 if a promise was broken, 2 if it is too early."""
    screen, unexpected = Screen(), []
    committed = evidence.placed(shop)
    if not eventually(lambda: evidence.charged(shop) >= committed, _SETTLED):
        unexpected.append(f"not all {committed} orders were charged within {_SETTLED:.0f} s")
    if evidence.placed(shop) != committed:
        screen.event("orders are being placed, and cannot be counted: docker compose stop orders", style="red")
        return 2
    verdict = judge(
        evidence.orders(shop), evidence.wire(shop), evidence.charges(shop), evidence.owed(shop), evidence.held(shop)
    )
    screen.verdict(verdict, None, unexpected)
    return 0 if verdict.passed and not unexpected else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:2]))
