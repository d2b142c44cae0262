"""Three brokers that can be killed and frozen one by one, and that may deny things to a user `relay`."""

import signal
from collections.abc import Container
from pathlib import Path
from typing import Any, Final

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._acl import AclBinding, AclBindingFilter, AclOperation, AclPermissionType
from confluent_kafka.admin._resource import ResourcePatternType, ResourceType

from txbox import daemon, sandbox
from txbox.sandbox.servers import free_ports

__all__ = ["Cluster"]

#: A second listener, on which users have names. Whoever comes by the first, the brokers too, may do everything.
_USERS = """
listeners=BROKER://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller},USERS://127.0.0.1:{users}
listener.security.protocol.map=BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT,USERS:SASL_PLAINTEXT
listener.name.users.sasl.enabled.mechanisms=PLAIN
listener.name.users.plain.sasl.jaas.config=\\
    org.apache.kafka.common.security.plain.PlainLoginModule required user_relay="secret";
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS
"""

#: what asks a frozen broker asks another one soon
_PATIENCE: Final = {"socket.timeout.ms": 2000, "reconnect.backoff.max.ms": 500, "log_level": 0}


class Cluster:
    """Up from `start` to `stop`; brokers are called by number, from 0."""

    def __init__(self, folder: Path) -> None:
        self._kafka = sandbox.Kafka(folder, 3, lambda _: None)
        ports, controllers, self._users = (free := free_ports(9))[:3], free[3:6], free[6:]
        self._kafka.prepare(ports, controllers)
        for broker, port, controller, users in zip(self._kafka.brokers, ports, controllers, self._users, strict=True):
            with (broker.folder / "server.properties").open("a") as file:
                file.write(_USERS.format(port=port, controller=controller, users=users))
        self.bootstrap_servers = self._kafka.bootstrap_servers

    def start(self) -> None:
        self._kafka.start_all()
        self.admin = AdminClient({**_PATIENCE, "bootstrap.servers": self.bootstrap_servers})

    def stop(self) -> None:
        for number in range(3):  # nobody wants their data any more
            self._kafka.kill(number)

    @property
    def kafka(self) -> daemon.Kafka:
        """What a relay needs that may do everything."""
        return daemon.Kafka(bootstrap_servers=self.bootstrap_servers)

    def user(self, password: str = "secret") -> daemon.Kafka:  # noqa: S107  # no secret at all
        """What a relay needs that may do what `allow` says."""
        return daemon.Kafka(
            bootstrap_servers=",".join(f"127.0.0.1:{port}" for port in self._users),
            client={
                "security.protocol": "SASL_PLAINTEXT",
                "sasl.mechanism": "PLAIN",
                "sasl.username": "relay",
                "sasl.password": password,
            },
        )

    def allow(self, topic: str, *operations: AclOperation) -> None:
        """Let the user do these things to a topic."""
        bindings = [_acl(AclBinding, topic, operation, AclPermissionType.ALLOW) for operation in operations]
        for future in self.admin.create_acls(bindings).values():
            future.result(20)

    def deny_all(self) -> None:
        """Let the user do nothing."""
        any_ = (ResourceType.ANY, None, ResourcePatternType.ANY, None, None, AclOperation.ANY, AclPermissionType.ANY)
        anything = AclBindingFilter(*any_)  # type: ignore[arg-type]  # None is documented: whatever it is
        self.admin.delete_acls([anything])[anything].result(20)

    def deny(self, topic: str, *operations: AclOperation) -> None:
        """Let the user do these things no more."""
        filters = [_acl(AclBindingFilter, topic, operation, AclPermissionType.ALLOW) for operation in operations]
        for future in self.admin.delete_acls(filters).values():
            future.result(20)

    def kill(self, number: int) -> None:
        """SIGKILL."""
        self._kafka.kill(number)

    def revive(self, *numbers: int) -> None:
        """Start brokers that were killed; return when they listen."""
        for number in numbers:
            self._kafka.brokers[number].launch()
        for number in numbers:
            self._kafka.brokers[number].wait_ready()

    def freeze(self, numbers: Container[int | None]) -> None:
        """SIGSTOP."""
        self._signal(numbers, signal.SIGSTOP)

    def thaw(self, numbers: Container[int | None] = range(3)) -> None:
        """SIGCONT; those that run go on running."""
        self._signal(numbers, signal.SIGCONT)

    def mend(self) -> None:
        """Let all brokers run, whatever was done to them."""
        self.thaw()
        self.revive(*(broker.number for broker in self._kafka.brokers if not broker.process.pid))

    def leader(self, topic: str, partition: int = 0) -> int | None:
        """Who leads a partition; -1 if nobody does, None if nobody tells."""
        found = self._partition(topic, partition)
        return int(found.leader) if found else None

    def in_sync(self, topic: str, partition: int = 0) -> set[int] | None:
        """Who has all of a partition; None if nobody tells."""
        found = self._partition(topic, partition)
        return set(found.isrs) if found else None

    def _partition(self, topic: str, partition: int) -> Any:
        try:
            return self.admin.list_topics(topic, timeout=2).topics[topic].partitions[partition]
        except (KafkaException, KeyError):  # one that is frozen was asked, or one that was just started
            return None

    def _signal(self, numbers: Container[int | None], number: int) -> None:
        for broker in self._kafka.brokers:
            if broker.number in numbers:
                broker.process.signal(number)


def _acl(kind, topic: str, operation: AclOperation, permission: AclPermissionType):
    pattern = ResourcePatternType.LITERAL
    return kind(ResourceType.TOPIC, topic, pattern, "User:relay", "*", operation, permission)
