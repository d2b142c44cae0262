"""Why a server and we do not trust each other, and what to do: the drivers say little, or the wrong thing.

librdkafka and libpq say that a certificate could not be verified, and not why. So the server is asked once more, with
Python's own TLS, which does. No password is ever part of what is said.
"""

import re
import socket
import ssl
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import psycopg
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from txbox.daemon.kafka import Kafka, admin_settings

__all__ = ["asking", "distrusts", "explain_kafka", "explain_postgres"]

#: seconds for a server's certificate
_PATIENCE: Final = 3.0
#: https://www.postgresql.org/docs/current/protocol-message-formats.html#PROTOCOL-MESSAGE-FORMATS-SSLREQUEST
_SSL_REQUEST: Final = struct.pack("!ii", 8, 80877103)

#: by OpenSSL's number for what it found; the others have only its words
_MENDS: Final = {
    9: "look at its clock and ours",
    10: "renew it there",
    18: "{trust} must have the authority that signed it",
    19: "{trust} must have the authority that signed it",
    20: "{trust} must have the authority that signed it",
    62: "call the server by a name that its certificate has, or give it one that has this name",
    64: "call the server by a name that its certificate has, or give it one that has this address",
}
_OURS_REFUSED: Final = re.compile(
    r"alert (certificate|unknown ca|bad certificate)|certificate required|valid client cert"
)
_BROKER: Final = re.compile(r"(?:sasl_)?ssl://(?P<host>\S+):(?P<port>\d+)/")
#: what a question has for an answer when no broker was heard: the connections know more
_UNHEARD: Final = (KafkaError._TRANSPORT, KafkaError._TIMED_OUT, KafkaError._ALL_BROKERS_DOWN)  # noqa: SLF001
_SERVER: Final = re.compile(r'connection to server at "(?P<host>[^"]+)".*?, port (?P<port>\d+)')


def distrusts(error: KafkaError) -> bool:
    """Return whether certificates or passwords are wrong: only a new client would read them again."""
    code, text = error.code(), error.str()
    return code in (KafkaError._SSL, KafkaError._AUTHENTICATION) or bool(_OURS_REFUSED.search(text))  # noqa: SLF001


def explain_kafka(error: KafkaError, settings: Mapping[str, Any]) -> str:
    """Return what an error of a client with these settings says, and what to do if it is about trust."""
    text = error.str()
    broker = _BROKER.search(text)
    if broker and "certificate verify failed" in text:
        ca = settings.get("ssl.ca.location")
        trust = f"kafka.client ssl.ca.location ({ca or 'not set: the system is asked'})"
        named = settings.get("ssl.endpoint.identification.algorithm") != "none"
        why = _why_distrusted(broker["host"], int(broker["port"]), ca, trust, named=named, postgres=False)
        return f"the certificate of broker {broker['host']}:{broker['port']} is not trusted: {why}"
    if _OURS_REFUSED.search(text):
        own = settings.get("ssl.certificate.location") or settings.get("ssl.keystore.location")
        return (
            f"{text}. The broker does not trust our certificate ({own or 'there is none'}): kafka.client "
            "ssl.certificate.location and ssl.key.location must name one that it does, and that has not expired"
        )
    if error.code() == KafkaError._AUTHENTICATION:  # noqa: SLF001
        mechanism = settings.get("sasl.mechanism") or settings.get("sasl.mechanisms")
        return (
            f"{text}. The broker does not know user {settings.get('sasl.username')!r} by this password and "
            f"{mechanism}: look at kafka.client sasl.username, sasl.password, sasl.mechanism"
        )
    if "PLAINTEXT broker listener" in text:
        return (
            f"{text}. Set kafka.client security.protocol to PLAINTEXT or SASL_PLAINTEXT, or take the port that has TLS"
        )
    if error.code() == KafkaError._ALL_BROKERS_DOWN:  # noqa: SLF001  # and nothing else was heard: they hang up
        return f"{text}; if their port has TLS or asks for users, kafka.client security.protocol must say so"
    return text


@contextmanager
def asking(kafka: Kafka) -> Iterator[AdminClient]:
    """Yield a client for questions; a KafkaException of them tells what the connections said, if no broker was heard.

    Raises RefusedSetting, KafkaException.
    """
    heard: list[KafkaError] = []
    settings: dict[str, Any] = {**admin_settings(kafka), "error_cb": heard.append}
    admin = AdminClient(settings)
    try:
        yield admin
    except KafkaException as exception:
        with suppress(KafkaException):
            admin.poll(0)
        # That all are down is told last, and says least.
        causes = [error for error in heard if error.code() != KafkaError._ALL_BROKERS_DOWN] or heard  # noqa: SLF001
        if not causes or exception.args[0].code() not in _UNHEARD:
            raise
        why = explain_kafka(causes[-1], settings)
        raise KafkaException(KafkaError(causes[-1].code(), why)) from exception


def explain_postgres(error: psycopg.Error, given: Mapping[str, Any]) -> str:
    """Return why a connection with these parameters could not be made, and what to do if it is about trust."""
    text = str(error).strip()
    server = _SERVER.search(text)
    if server and "certificate verify failed" in text:
        ca = given.get("sslrootcert")
        trust = f"sslrootcert ({ca or '~/.postgresql/root.crt'})"
        named = given.get("sslmode") == "verify-full" or ca == "system"
        path = None if ca == "system" else str(ca or Path.home() / ".postgresql/root.crt")
        why = _why_distrusted(server["host"], int(server["port"]), path, trust, named=named, postgres=True)
        return f"{text}. The server's certificate is not trusted: {why}"
    if "does not match host name" in text:
        return f"{text}. Call the server by a name that its certificate has, or give it one that has this name"
    if "certificate authentication failed" in text or _OURS_REFUSED.search(text):
        own = given.get("sslcert", "~/.postgresql/postgresql.crt")
        return (
            f"{text}. The server does not trust our certificate: sslcert ({own}) and sslkey must name one "
            "that it does, for this user, and that has not expired"
        )
    if "password authentication failed" in text:
        return f"{text}. Look at the password in database.url, the file that it comes from, PGPASSWORD or ~/.pgpass"
    if "no encryption" in text:
        return f"{text}. The server wants TLS: put sslmode=verify-full into database.url"
    return text


def _why_distrusted(host: str, port: int, ca: Any, trust: str, *, named: bool, postgres: bool) -> str:
    """Shake hands with a server once more; return what is wrong with its certificate, and the mend."""
    try:
        path = Path(ca) if ca else None
        context = ssl.create_default_context(
            cafile=str(path) if path and path.is_file() else None, capath=str(path) if path and path.is_dir() else None
        )
        context.check_hostname = named
        with socket.create_connection((host, port), _PATIENCE) as plain:
            if postgres:
                plain.sendall(_SSL_REQUEST)
                plain.recv(1)
            with context.wrap_socket(plain, server_hostname=host):
                return "it was just now: the next try may go well"
    except ssl.SSLCertVerificationError as error:
        mend = _MENDS.get(error.verify_code, f"look at the certificate and {trust}").format(trust=trust)
        return f"{error.verify_message.rstrip('.')}; {mend}"
    except (OSError, ValueError) as error:  # ssl.SSLError too; UnicodeError: kafka..local is no name
        return f"{error}; look at the certificate and {trust}"
