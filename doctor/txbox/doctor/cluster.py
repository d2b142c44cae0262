"""What Kafka must be like: addresses that can be reached, topics that are there and take what is written."""

import socket
from collections.abc import Collection, Iterable, Mapping
from typing import Final, NamedTuple

from txbox.daemon import Kafka
from txbox.daemon.trust import asking
from txbox.doctor.finding import Finding, fail, ok, warn

__all__ = ["Address", "addresses", "brokers", "judge_brokers", "judge_sizes", "judge_topics", "unreachable"]

#: seconds for an answer
_PATIENCE: Final = 5.0
#: what a record has besides its payload: key, headers and lengths, as a rule
_REST: Final = 4096


class Address(NamedTuple):
    """Where a broker is said to be."""

    host: str
    port: int
    #: None for one of our own configuration
    broker: int | None = None

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def addresses(servers: str) -> list[Address]:
    """Return what bootstrap.servers names; 9092 where there is no port, as librdkafka has it."""
    found = []
    for server in filter(None, (part.strip() for part in servers.split(","))):
        host, colon, port = server.rpartition("://")[2].rpartition(":")
        number = int(port) if port.isdecimal() else 9092
        found.append(Address((host if colon and port.isdecimal() else server).strip("[]"), number))
    return found


def unreachable(asked: Iterable[Address]) -> dict[Address, str]:
    """Return the addresses to which there is no connection from here, and why."""
    found = {}
    for address in asked:
        try:
            socket.create_connection((address.host, address.port), timeout=_PATIENCE).close()
        except socket.gaierror:
            found[address] = "the name does not resolve"
        except ValueError:  # UnicodeError, of kafka..local
            found[address] = "no address can be written like this"
        except OSError as error:
            found[address] = (error.strerror or str(error) or type(error).__name__).lower()
    return found


def brokers(kafka: Kafka) -> list[Address]:
    """Return where the cluster says that its brokers are. Raises KafkaException with what the connections said."""
    with asking(kafka) as admin:
        found = admin.list_topics(timeout=_PATIENCE).brokers.values()
    return [Address(broker.host or "", broker.port or 0, broker.id) for broker in found]


def judge_brokers(found: Collection[Address], away: Mapping[Address, str]) -> Finding:
    """Say whether every address that the brokers advertise can be reached from here."""
    if not away:
        return ok(f"{len(found)} advertised, all can be reached: {', '.join(map(str, found))}")
    named = "; ".join(f"broker {a.broker} says that it is at {a}: {why}" for a, why in away.items())
    hosts = ", ".join(dict.fromkeys(address.host for address in away))
    return fail(
        f"{named}. Clients are sent there after the first answer, whatever address they began with",
        f"let {hosts} resolve to an address that is reached from here, or set advertised.listeners of that broker to "
        "one; if the broker is down, start it",
    )


def judge_topics(
    names: Collection[str],
    limits: Collection[str],
    denied: Mapping[str, str],
    *,
    impossible: Collection[str] = (),
    create: bool,
) -> Finding:
    """Say whether the topics of messages are there, and may be looked at."""
    if not names:
        return ok("none is named by a message yet; txbox doctor NAME looks at one before")
    for name, why in denied.items():
        mend = f"kafka-acls --add --allow-principal User:... --producer --operation DescribeConfigs --topic {name}"
        return fail(f"Kafka does not let us describe topic {name!r}: {why}", mend)
    if impossible:
        return fail(
            f"Kafka allows no topic of the name {', '.join(map(repr, sorted(impossible)))}: publishing stops before "
            "the first message of it",
            "write another topic or aggregate, or mend relay.topic; what is written is held with "
            "relay.on_undeliverable = hold, then: txbox outbox skip",
        )
    missing = sorted(set(names) - set(limits))
    if not missing:
        return ok(f"{len(names)} there: {', '.join(sorted(names)[:10])}")
    quoted = ", ".join(map(repr, missing))
    if create:
        return ok(f"the relay will make {quoted} (relay.create_topics)")
    return fail(
        f"not there: {quoted}. Publishing stops before the first message of it",
        f"kafka-topics --create --topic {missing[0]} --partitions 6, or let the relay: txbox relay run --create-topics",
    )


def judge_sizes(limits: Mapping[str, int], largest: int, client: str | float | None) -> Finding:
    """Say whether topics, and our own client, take what an Outbox takes: payloads of `largest` bytes.

    `client` is message.max.bytes of [kafka.client], if it is set: librdkafka takes any text that begins with a number.
    """
    needed = largest + _REST
    try:
        own = needed if client is None else int(client)
    except ValueError:
        return fail(
            f"[kafka.client] message.max.bytes is {client!r}: that is no number of bytes",
            "take message.max.bytes out of [kafka.client]: topics have limits of their own",
        )
    if own < needed:
        return warn(
            f"[kafka.client] message.max.bytes is {own:,}, an Outbox takes payloads of {largest:,} bytes: larger "
            "ones are written and then refused",
            "take message.max.bytes out of [kafka.client]: topics have limits of their own",
        )
    small = {name: limit for name, limit in limits.items() if limit < needed}
    for name, limit in small.items():
        others = f", and {len(small) - 1} more topics less than needed" if len(small) > 1 else ""
        return warn(
            f"topic {name!r} takes record batches of {limit:,} bytes{others}; an Outbox takes payloads of {largest:,}: "
            "one in between is written and then refused by Kafka",
            f"Outbox(max_payload={max(limit - _REST, 0)}) where it is written, or kafka-configs --alter --topic {name} "
            f"--add-config max.message.bytes={needed}",
        )
    return ok(f"payloads of {largest:,} bytes fit") if limits else ok("no topic to look at")
