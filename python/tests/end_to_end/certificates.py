"""Certificates for tests, made anew each time by an authority that only the test trusts."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING

import trustme

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Certified:
    """A certificate of 127.0.0.1 on disk, and the authority that vouches for it."""

    certificate: Path
    key: Path
    authority: Path

    @property
    def arguments(self) -> tuple[str, ...]:
        """What `shoal serve` is told."""
        return ("--tls-certificate", str(self.certificate), "--tls-key", str(self.key))

    def context(self, protocol: str = "http/1.1") -> ssl.SSLContext:
        """A client that trusts the authority and no other."""
        context = ssl.create_default_context(cafile=str(self.authority))
        context.set_alpn_protocols([protocol])
        return context


def certify(directory: Path) -> Certified:
    """Write a new authority and a certificate of it; what is there is replaced."""
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1", "localhost")
    paths = [directory / name for name in ("certificate.pem", "key.pem", "authority.pem")]
    certificate, key, trusted = paths
    certificate.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
    issued.private_key_pem.write_to_path(str(key))
    authority.cert_pem.write_to_path(str(trusted))
    return Certified(certificate, key, trusted)
