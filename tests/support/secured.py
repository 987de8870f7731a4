"""A real Apache Kafka with every kind of door, and the papers for each: certificates, passwords, tokens."""

from __future__ import annotations

import base64
import json
import time
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import trustme
from confluent_kafka.admin import (
    AdminClient,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)
from cryptography.hazmat.primitives import serialization
from support import kafka
from support.kafka import Cluster, Listener

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HOST = "127.0.0.1"
USER = "alice"
PASSWORD = "correct-horse"
SECURITY = "org.apache.kafka.common.security"
LONG_AGO = datetime.now(UTC) - timedelta(days=30)


class Papers:
    """Authorities and what they sign, as PEM files in a folder."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self._folder = folder
        self._ca = trustme.CA()
        self._stranger = trustme.CA()
        self.ca = self._written("ca.pem", self._ca.cert_pem.bytes())
        self.other_ca = self._written("other-ca.pem", self._stranger.cert_pem.bytes())

    def signed(self, name: str, *, host: str = HOST, expired: bool = False, by_stranger: bool = False) -> Path:
        """A key and its certificate in one file."""
        ca = self._stranger if by_stranger else self._ca
        ends = LONG_AGO + timedelta(days=1) if expired else None
        leaf = ca.issue_cert(host, not_before=LONG_AGO, not_after=ends)
        chain = b"".join(blob.bytes() for blob in leaf.cert_chain_pems)
        return self._written(f"{name}.pem", self._key(leaf, None) + chain)

    def apart(self, name: str, password: str | None = None) -> tuple[Path, Path]:
        """A certificate and its key in two files, the key encrypted if there is a password."""
        leaf = self._ca.issue_cert(name)
        chain = b"".join(blob.bytes() for blob in leaf.cert_chain_pems)
        return self._written(f"{name}.crt", chain), self._written(f"{name}.key", self._key(leaf, password))

    def _key(self, leaf: trustme.LeafCert, password: str | None) -> bytes:
        key = serialization.load_pem_private_key(leaf.private_key_pem.bytes(), None)
        lock = serialization.BestAvailableEncryption(password.encode()) if password else serialization.NoEncryption()
        return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, lock)

    def _written(self, name: str, data: bytes) -> Path:
        path = self._folder / name
        path.write_bytes(data)
        return path


@dataclass(frozen=True)
class Secured:
    """A broker with doors, and the papers for them."""

    cluster: Cluster
    papers: Papers

    def door(self, name: str) -> str:
        """Its address."""
        return self.cluster.brokers[0].door(name)

    def change_password(self, user: str, password: str) -> None:
        """Let the broker know a user by another password, or a new user."""
        credential = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096)
        told = [UserScramCredentialUpsertion(user, credential, password.encode())]
        admin = AdminClient({"bootstrap.servers": self.cluster.bootstrap_servers})
        for done in admin.alter_user_scram_credentials(told).values():
            done.result(30.0)


@contextmanager
def secured(folder: Path) -> Iterator[Secured]:
    """A broker whose doors are TLS, MTLS, EXPIRED, ELSEWHERE, SCRAM and OPEN (a login without encryption)."""
    folder.mkdir(exist_ok=True)
    papers = Papers(folder / "papers")
    good = _tls(papers, papers.signed("broker"))
    login = {
        "sasl.enabled.mechanisms": "SCRAM-SHA-256,SCRAM-SHA-512",
        "scram-sha-256.sasl.jaas.config": f"{SECURITY}.scram.ScramLoginModule required;",
        "scram-sha-512.sasl.jaas.config": f"{SECURITY}.scram.ScramLoginModule required;",
    }
    opened = {
        "sasl.enabled.mechanisms": "PLAIN,OAUTHBEARER",
        "plain.sasl.jaas.config": f'{SECURITY}.plain.PlainLoginModule required user_{USER}="{PASSWORD}";',
        "oauthbearer.sasl.jaas.config": f"{SECURITY}.oauthbearer.OAuthBearerLoginModule required "
        'unsecuredLoginStringClaim_sub="broker";',
    }
    doors = [
        Listener("TLS", "SSL", good),
        Listener("MTLS", "SSL", good | {"ssl.client.auth": "required"}),
        Listener("EXPIRED", "SSL", _tls(papers, papers.signed("expired", expired=True))),
        Listener("ELSEWHERE", "SSL", _tls(papers, papers.signed("elsewhere", host="elsewhere.example"))),
        Listener("SCRAM", "SASL_SSL", good | login),
        Listener("OPEN", "SASL_PLAINTEXT", opened),
    ]
    with kafka.running(folder / "cluster", listeners=doors, users={USER: PASSWORD}) as cluster:
        yield Secured(cluster, papers)


def _tls(papers: Papers, own: Path) -> dict[str, str]:
    return {
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(own),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(papers.ca),
    }


def token(user: str, *, for_s: float = 3600.0) -> str:
    """A token without signature, which Kafka's own validator for trials takes."""
    now = time.time()
    claims = {"sub": user, "iat": now - 60, "exp": now + for_s}
    return f"{_part({'alg': 'none'})}.{_part(claims)}."


def _part(content: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(content).encode()).rstrip(b"=").decode()
