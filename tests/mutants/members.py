"""Rules about the members of a consumer's group, and how each may be broken."""

from tests.mutants.table import Mutant

__all__ = ["MEMBERS"]

_ZOMBIES = "tests/integration/consumer/test_zombies.py"

MEMBERS = (
    Mutant(
        "a frozen owner keeps its ids",
        "consumer/txbox/consumer/runner.py",
        '"idle_in_transaction_session_timeout": silent, ',
        "",
        f"{_ZOMBIES} -k stays_frozen",
    ),
    Mutant(
        "an id that is taken is handled again",
        "consumer/txbox/consumer/inbox.sql",
        "ON CONFLICT DO NOTHING\nRETURNING message_id;",
        "ON CONFLICT (consumer_id, message_id) DO UPDATE SET topic = excluded.topic\nRETURNING message_id;",
        f"{_ZOMBIES} -k both_write",
    ),
    Mutant(
        "what is put back comes in the wrong order",
        "consumer/txbox/consumer/broker.py",
        "for r in reversed(records) if",
        "for r in records if",
        "tests/integration/consumer/test_broker.py -k put_back",
    ),
    Mutant(
        "a member tells brokers what they decide",
        "daemon/txbox/daemon/kafka.py",
        '.lower() == "consumer"',
        '.lower() == "never"',
        "tests/unit/daemon/test_kafka.py",
    ),
)
