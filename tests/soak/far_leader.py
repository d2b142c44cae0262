"""A leader on a machine of its own: python -m tests.soak.far_leader DATABASE."""

import sys
import time

import psycopg

from txbox.daemon import Database
from txbox.relay.ledger import Ledger


def main(url: str) -> None:
    """Lead, and look at the database all the time; say when it is gone."""
    ledger = Ledger.open(Database(url=url), "default", {})
    assert ledger.lock()
    ledger.take("far", ledger.inspect())
    print("leading", flush=True)
    heard = time.monotonic()
    try:
        while True:
            ledger.inspect()
            heard = time.monotonic()
    except psycopg.Error as error:
        print(f"gone after {time.monotonic() - heard:.1f} s: {error}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
