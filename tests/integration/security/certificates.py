"""Certificates for the tests' servers and clients: good ones, and bad in one way each."""

import os
import socket
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import trustme
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

__all__ = ["Authority", "certificate", "shown"]


class Authority:
    """One certificate authority; what it issues lies in `folder`, as PEM files that everybody may read."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ca = trustme.CA()
        #: what clients must trust
        self.pem = folder / "ca.pem"
        self._ca.cert_pem.write_to_path(self.pem)

    def issue(self, name: str, *identities: str, expired: bool = False, of: "Authority | None" = None) -> Path:
        """Return a file with a key and its certificate, and write both apart too, as name.key and name.crt.

        `of` is who signs instead of this one.
        """
        until = datetime.now(UTC) - timedelta(days=1) if expired else None
        signer = (of or self)._ca
        leaf = signer.issue_cert(*identities, common_name=identities[0], not_after=until)
        # Java reads no other form of a key.
        key = load_pem_private_key(leaf.private_key_pem.bytes(), None).private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
        )
        chain = b"".join(blob.bytes() for blob in leaf.cert_chain_pems)
        both = self._folder / f"{name}.pem"
        for path, content in ((both, key + chain), (both.with_suffix(".key"), key), (both.with_suffix(".crt"), chain)):
            new = path.with_suffix(f".{os.getpid()}.new")
            new.write_bytes(content)
            new.replace(path)
        return both


def certificate(keys: Path) -> bytes:
    """Return the certificate in a file of an authority's, as it goes over the network."""
    pem = keys.with_suffix(".crt").read_text()
    return ssl.PEM_cert_to_DER_cert(pem[: pem.index("-----END CERTIFICATE-----") + 26])


def shown(port: int, before: bytes = b"") -> bytes | None:
    """Return the certificate that a server on this port shows now. `before` is what asks it for TLS, if it must be."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection(("127.0.0.1", port), 10) as plain:
        if before:
            plain.sendall(before)
            plain.recv(1)
        with context.wrap_socket(plain) as secure:
            return secure.getpeercert(binary_form=True)
