"""A Kafka broker that speaks TLS, and asks who it is."""

from pathlib import Path
from typing import Any, Final

from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import AlterConfigOpType, ConfigEntry, ConfigResource
from confluent_kafka.admin._scram import ScramCredentialInfo, ScramMechanism, UserScramCredentialUpsertion

from tests.integration.security.certificates import Authority, certificate, shown
from tests.waiting import eventually
from txbox import daemon, sandbox
from txbox.sandbox.servers import free_ports

__all__ = ["SecureBroker"]

# BROKER is plain: for the tests' own clients. Of the others each asks for a proof of its own.
_LISTENERS: Final = """
listeners=BROKER://127.0.0.1:{plain},CONTROLLER://127.0.0.1:{controller},TLS://127.0.0.1:{tls},\
MUTUAL://127.0.0.1:{mutual},USERS://127.0.0.1:{users}
listener.security.protocol.map=BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT,TLS:SSL,MUTUAL:SSL,USERS:SASL_SSL
ssl.truststore.type=PEM
ssl.truststore.location={ca}
ssl.keystore.type=PEM
ssl.keystore.location={keys}
ssl.allow.dn.changes=true
ssl.allow.san.changes=true
listener.name.tls.ssl.keystore.type=PEM
listener.name.tls.ssl.keystore.location={keys}
listener.name.mutual.ssl.client.auth=required
listener.name.users.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512
listener.name.users.plain.sasl.jaas.config=\\
    org.apache.kafka.common.security.plain.PlainLoginModule required user_relay="{password}";
listener.name.users.scram-sha-256.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.users.scram-sha-512.connections.max.reauth.ms=1500
listener.name.users.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
"""


class SecureBroker:
    """One broker with a listener for TLS, one for certificates of clients, one for users with passwords."""

    def __init__(self, folder: Path, authority: Authority, password: str) -> None:
        self._authority, self._password = authority, password
        self._kafka = sandbox.Kafka(folder, 1, lambda _: None)
        plain, controller, self.tls, self.mutual, self.users = free_ports(5)
        self._kafka.prepare([plain], [controller])
        with (self._kafka.brokers[0].folder / "server.properties").open("a") as file:
            file.write(
                _LISTENERS.format(
                    plain=plain,
                    controller=controller,
                    tls=self.tls,
                    mutual=self.mutual,
                    users=self.users,
                    ca=authority.pem,
                    keys=authority.issue("broker", "localhost", "127.0.0.1"),
                    password=password,
                )
            )

    def start(self) -> None:
        self._kafka.start_all()
        self.admin = AdminClient({"bootstrap.servers": self._kafka.bootstrap_servers, "log_level": 0})
        self.set_password(self._password)

    def stop(self) -> None:
        self._kafka.kill(0)

    @property
    def bootstrap_servers(self) -> str:
        """Where nothing is asked."""
        return self._kafka.bootstrap_servers

    def set_password(self, password: str) -> None:
        """Give the user `relay` this password, by both SCRAM mechanisms."""
        mechanisms = (ScramMechanism.SCRAM_SHA_256, ScramMechanism.SCRAM_SHA_512)
        changes = [
            UserScramCredentialUpsertion("relay", ScramCredentialInfo(mechanism, 4096), password.encode())
            for mechanism in mechanisms
        ]
        for change in changes:
            self.admin.alter_user_scram_credentials([change])["relay"].result(20)

    def show(self, keys: Path) -> None:
        """Show another certificate at the TLS listener, to clients that come from now on."""
        entry = ConfigEntry(
            "listener.name.tls.ssl.keystore.location", str(keys), incremental_operation=AlterConfigOpType.SET
        )
        resource = ConfigResource(ConfigResource.Type.BROKER, "0", incremental_configs=[entry])
        self.admin.incremental_alter_configs([resource])[resource].result(20)
        eventually(lambda: shown(self.tls) == certificate(keys))

    def client(self, port: int, **settings: Any) -> daemon.Kafka:
        """Return how to reach a listener; settings have _ for the dots."""
        secure = {"security.protocol": "SASL_SSL" if port == self.users else "SSL"}
        trust = {"ssl.ca.location": str(self._authority.pem)}
        own = {name.replace("_", "."): value for name, value in settings.items()}
        return daemon.Kafka(bootstrap_servers=f"127.0.0.1:{port}", client={**secure, **trust, **own})
