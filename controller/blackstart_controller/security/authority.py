"""The controller's own certificate authority: ECDSA P-256, one key on disk; it signs servers and hosts."""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from blackstart_controller.errors import UsageError
from blackstart_controller.security.files import load_key, new_key, private_pem, write_once
from blackstart_controller.security.identity import CONTROLLER_NAME, check_host_name, host_uri
from blackstart_controller.security.secret import Secret

CA_LIFETIME = timedelta(days=3650)
SERVER_LIFETIME = timedelta(days=397)  # a new one is issued at every start
HOST_LIFETIME = timedelta(days=14)
BACKDATED = timedelta(hours=1)  # a host whose clock is behind can still connect
MAX_CSR_BYTES = 16_384


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate for a host, with the authority it is verified by. `serial` is hex."""

    certificate_pem: bytes
    authority_pem: bytes
    serial: str
    expires_s: int


@dataclass(frozen=True, slots=True)
class ServerPair:
    key_pem: Secret
    certificate_pem: bytes


class Authority:
    """Signs. `pin` is the SHA-256 (hex) of its certificate's DER, by which a new host knows it."""

    def __init__(self, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> None:
        self._key = key
        self._certificate = certificate
        der = certificate.public_bytes(Encoding.DER)
        self.pin = hashlib.sha256(der).hexdigest()
        self.certificate_pem = certificate.public_bytes(Encoding.PEM)

    @classmethod
    def open(cls, folder: Path, *, now: datetime | None = None) -> Authority:
        """Return the authority kept in `folder` (ca.key 0600, ca.pem), made now if there is none yet."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        key_path, certificate_path = folder / "ca.key", folder / "ca.pem"
        if not key_path.exists():
            write_once(key_path, private_pem(new_key()).reveal().encode(), mode=0o600)
        key = load_key(key_path)
        if not certificate_path.exists():
            made = _self_signed(key, now or datetime.now(UTC))
            write_once(certificate_path, made.public_bytes(Encoding.PEM), mode=0o644)
        certificate = x509.load_pem_x509_certificate(certificate_path.read_bytes())
        if certificate.public_key() != key.public_key():
            raise UsageError(
                f"{certificate_path} does not belong to {key_path}; restore both from one backup"
            )
        return cls(key, certificate)

    def issue_server(self, names: Sequence[str], *, now: datetime | None = None) -> ServerPair:
        """A new key and certificate for this controller under `names` (DNS names and addresses)."""
        key = new_key()
        alternatives = [_general_name(name) for name in dict.fromkeys([*names, CONTROLLER_NAME])]
        builder = self._builder(CONTROLLER_NAME, key.public_key(), SERVER_LIFETIME, now)
        builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        certificate = self._sign(builder, ExtendedKeyUsageOID.SERVER_AUTH)
        return ServerPair(private_pem(key), certificate.public_bytes(Encoding.PEM))

    def sign_host_csr(self, csr_pem: bytes, host: str, *, now: datetime | None = None) -> Issued:
        """A certificate of 14 days for `host`. Only the CSR's key is used; what it says of names is not."""
        public_key = _public_key_of_csr(csr_pem, host)
        builder = self._builder(check_host_name(host), public_key, HOST_LIFETIME, now)
        uri = x509.UniformResourceIdentifier(host_uri(host))
        builder = builder.add_extension(x509.SubjectAlternativeName([uri]), critical=False)
        certificate = self._sign(builder, ExtendedKeyUsageOID.CLIENT_AUTH)
        return Issued(
            certificate_pem=certificate.public_bytes(Encoding.PEM),
            authority_pem=self.certificate_pem,
            serial=f"{certificate.serial_number:x}",
            expires_s=int(certificate.not_valid_after_utc.timestamp()),
        )

    def _builder(
        self, name: str, key: ec.EllipticCurvePublicKey, lifetime: timedelta, now: datetime | None
    ) -> x509.CertificateBuilder:
        start = now or datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(_common_name(name))
            .issuer_name(self._certificate.subject)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(start - BACKDATED)
            .not_valid_after(start + lifetime)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        )

    def _sign(self, builder: x509.CertificateBuilder, usage: x509.ObjectIdentifier) -> x509.Certificate:
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=True)
        builder = builder.add_extension(_key_usage(signs_certificates=False), critical=True)
        return builder.add_extension(issuer, critical=False).sign(self._key, hashes.SHA256())


def _self_signed(key: ec.EllipticCurvePrivateKey, now: datetime) -> x509.Certificate:
    # The name carries a part of the key, so that two controllers' authorities are never mixed up by name.
    spki = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    name = _common_name(f"blackstart authority {hashlib.sha256(spki).hexdigest()[:12]}")
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(now + CA_LIFETIME)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )


def _public_key_of_csr(csr_pem: bytes, host: str) -> ec.EllipticCurvePublicKey:
    if len(csr_pem) > MAX_CSR_BYTES:
        raise UsageError(
            f"host {host}: the certificate request has {len(csr_pem)} bytes; the most is {MAX_CSR_BYTES}"
        )
    try:
        csr = x509.load_pem_x509_csr(csr_pem)
        public_key = csr.public_key()
        signed = csr.is_signature_valid
    except (ValueError, TypeError, InvalidSignature) as error:
        raise UsageError(f"host {host}: the certificate request cannot be read: {error}") from error
    if not isinstance(public_key, ec.EllipticCurvePublicKey) or not isinstance(
        public_key.curve, ec.SECP256R1
    ):
        raise UsageError(f"host {host}: the certificate request's key must be ECDSA P-256 (prime256v1)")
    if not signed:
        raise UsageError(f"host {host}: the certificate request is not signed by its own key")
    return public_key


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _common_name(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
