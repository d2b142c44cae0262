"""What Kafka allows as the name of a topic."""

import re
from typing import Final

__all__ = ["is_topic"]

# https://github.com/apache/kafka/blob/trunk/clients/src/main/java/org/apache/kafka/common/internals/Topic.java
_TOPIC: Final = re.compile(r"[a-zA-Z0-9._-]{1,249}")


def is_topic(name: str) -> bool:
    """Return whether a topic may be called that."""
    return _TOPIC.fullmatch(name) is not None and name not in (".", "..")
