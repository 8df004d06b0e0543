"""Tokens, certificates, identities."""

from __future__ import annotations

import asyncio
import copy
import pickle
import ssl
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from blackstart_agent.link import openssl
from blackstart_controller.errors import Unauthorised, UsageError
from blackstart_controller.security.authority import Authority
from blackstart_controller.security.enrolment import Enrolment
from blackstart_controller.security.identity import check_host_name, host_of_context, host_uri
from blackstart_controller.security.memory import MemoryHosts, MemoryTokens
from blackstart_controller.security.roles import Role
from blackstart_controller.security.secret import Secret
from blackstart_controller.security.tokens import Tokens
from blackstart_proto.v1 import agent_pb2
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

PIN = "a" * 64


class Hour:
    """A clock of Unix seconds that the test moves."""

    def __init__(self) -> None:
        self.now_s = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def hour() -> Hour:
    return Hour()


@pytest.fixture
def store() -> MemoryTokens:
    return MemoryTokens()


@pytest.fixture
def tokens(store: MemoryTokens, hour: Hour) -> Tokens:
    return Tokens(store, PIN, now=hour)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.open(tmp_path_factory.mktemp("ca"))


# ---- tokens ----


async def test_a_join_token_works_once(tokens: Tokens) -> None:
    made = await tokens.create_join()
    await tokens.consume_join(made.token, "db-1")
    with pytest.raises(Unauthorised, match="used already, by host db-1"):
        await tokens.consume_join(made.token, "db-1")


async def test_of_two_uses_at_once_one_succeeds(tokens: Tokens) -> None:
    made = await tokens.create_join()
    uses = [tokens.consume_join(made.token, host) for host in ("a", "b", "c")]
    results = await asyncio.gather(*uses, return_exceptions=True)
    assert sorted(type(result).__name__ for result in results) == ["NoneType", "Unauthorised", "Unauthorised"]


async def test_a_join_token_is_late_after_15_minutes(tokens: Tokens, hour: Hour) -> None:
    made = await tokens.create_join()
    assert made.expires_s == int(hour.now_s) + 900
    hour.now_s += 905
    with pytest.raises(Unauthorised, match="expired 5 s ago"):
        await tokens.consume_join(made.token, "db-1")


async def test_a_bound_join_token_is_for_its_host_only(tokens: Tokens) -> None:
    made = await tokens.create_join(host="db-1")
    with pytest.raises(Unauthorised, match="it is for another host than db-2"):
        await tokens.consume_join(made.token, "db-2")
    await tokens.consume_join(made.token, "db-1")  # the wrong host did not use it up


async def test_a_join_token_of_another_controller_is_named_so(tokens: Tokens, hour: Hour) -> None:
    other = Tokens(MemoryTokens(), "b" * 64, now=hour)
    with pytest.raises(Unauthorised, match="made by another controller"):
        await tokens.consume_join((await other.create_join()).token, "db-1")


@pytest.mark.parametrize("text", ["", "bsj_", "bsk_" + "x" * 43, "bsj_" + "x" * 43, f"bsj_x.{PIN}", "ä" * 50])
async def test_malformed_join_tokens_are_refused(tokens: Tokens, text: str) -> None:
    with pytest.raises(Unauthorised, match="join token: malformed"):
        await tokens.consume_join(Secret(text), "db-1")


@pytest.mark.parametrize("ttl_s", [0, -1, 24 * 3600 + 1])
async def test_a_join_token_lives_at_most_a_day(tokens: Tokens, ttl_s: int) -> None:
    with pytest.raises(UsageError, match="ttl_s must be 1 to 86400"):
        await tokens.create_join(ttl_s=ttl_s)


async def test_an_operators_token_works_until_it_expires_or_is_deleted(
    tokens: Tokens, store: MemoryTokens, hour: Hour
) -> None:
    made = await tokens.create_operator("admin", Role.ADMIN, ttl_s=60)
    assert made.token.reveal().startswith("bsk_")
    assert (await tokens.check_operator(made.token)).name == "admin"
    hour.now_s += 60
    with pytest.raises(Unauthorised, match="expired"):
        await tokens.check_operator(made.token)
    hour.now_s -= 60
    await store.delete_token((await tokens.check_operator(made.token)).digest)
    with pytest.raises(Unauthorised, match="unknown here"):
        await tokens.check_operator(made.token)


async def test_a_join_token_is_no_operators_token(tokens: Tokens) -> None:
    made = await tokens.create_join()
    for text in (made.token.reveal(), made.token.reveal().split(".")[0], ""):
        with pytest.raises(Unauthorised):
            await tokens.check_operator(Secret(text))


async def test_no_secret_is_in_the_store(tokens: Tokens, store: MemoryTokens) -> None:
    join, operator = await tokens.create_join(), await tokens.create_operator("admin", Role.ADMIN)
    secrets = [made.token.reveal().split(".")[0].split("_", 1)[1] for made in (join, operator)]
    assert not any(secret in repr(store.tokens) for secret in secrets)


def test_a_secret_is_never_shown() -> None:
    secret = Secret("canary")
    shown = f"{secret} {secret!r} {secret!s:>20} {[secret]} {secret}"
    assert "canary" not in shown and "Secret(…)" in shown
    assert secret == Secret("canary") != Secret("other")
    for leak in (pickle.dumps, copy.deepcopy):
        with pytest.raises(TypeError):
            leak(secret)


# ---- certificates ----


def csr(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey, name: str = "db-1") -> bytes:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    request = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    return request.public_bytes(Encoding.PEM)


def p256() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def test_an_authority_is_made_once_and_its_key_is_its_owners(tmp_path: Path) -> None:
    first = Authority.open(tmp_path / "ca")
    again = Authority.open(tmp_path / "ca")
    assert first.pin == again.pin and len(first.pin) == 64
    assert first.certificate_pem == again.certificate_pem
    assert (tmp_path / "ca" / "ca.key").stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in (tmp_path / "ca").iterdir()) == ["ca.key", "ca.pem"]


def test_a_crash_between_key_and_certificate_is_mended(tmp_path: Path) -> None:
    Authority.open(tmp_path)
    (tmp_path / "ca.pem").unlink()
    assert Authority.open(tmp_path).pin


def test_a_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    Authority.open(tmp_path)
    (tmp_path / "ca.key").chmod(0o640)
    with pytest.raises(UsageError, match=r"ca\.key: others can read this key; if nobody did, run: chmod 600"):
        Authority.open(tmp_path)


def test_a_certificate_of_another_key_is_refused(tmp_path: Path) -> None:
    Authority.open(tmp_path / "a")
    Authority.open(tmp_path / "b")
    (tmp_path / "a" / "ca.pem").write_bytes((tmp_path / "b" / "ca.pem").read_bytes())
    with pytest.raises(UsageError, match="does not belong to"):
        Authority.open(tmp_path / "a")


def test_a_hosts_certificate_says_its_name_and_that_it_is_a_client(authority: Authority) -> None:
    now = datetime(2026, 11, 23, tzinfo=UTC)
    issued = authority.sign_host_csr(csr(p256(), "liar"), "db-1", now=now)
    certificate = x509.load_pem_x509_certificate(issued.certificate_pem)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == ["blackstart://host/db-1"]
    assert list(usage) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    assert certificate.subject.rfc4514_string() == "CN=db-1"
    assert certificate.not_valid_after_utc == now + timedelta(days=14)
    assert issued.expires_s == int((now + timedelta(days=14)).timestamp())
    assert certificate.serial_number == int(issued.serial, 16)


def test_openssl_and_cryptography_agree(authority: Authority) -> None:
    key_pem = openssl.new_key_pem()
    issued = authority.sign_host_csr(openssl.request_pem(key_pem, "db-1"), "db-1")
    start, end = openssl.validity(issued.certificate_pem)
    assert end - start == timedelta(days=14, hours=1)
    assert int(end.timestamp()) == issued.expires_s


@pytest.mark.parametrize(
    ("request_pem", "reason"),
    [
        (b"", "cannot be read"),
        (b"x" * 20_000, "20000 bytes; the most is 16384"),
        (csr(rsa.generate_private_key(65537, 2048)), "must be ECDSA P-256"),
        (csr(ec.generate_private_key(ec.SECP384R1())), "must be ECDSA P-256"),
    ],
)
def test_bad_requests_are_not_signed(authority: Authority, request_pem: bytes, reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        authority.sign_host_csr(request_pem, "db-1")


def test_a_request_that_another_key_signed_is_not_signed(authority: Authority) -> None:
    der = bytearray(
        ssl.PEM_cert_to_DER_cert(csr(p256()).decode().replace("CERTIFICATE REQUEST", "CERTIFICATE"))
    )
    der[der.index(b"db-1")] ^= 1  # what was signed says another name now
    pem = ssl.DER_cert_to_PEM_cert(bytes(der)).replace("CERTIFICATE", "CERTIFICATE REQUEST").encode()
    with pytest.raises(UsageError, match="not signed by its own key"):
        authority.sign_host_csr(pem, "db-1")


def test_a_servers_certificate_has_its_addresses_and_the_common_name(authority: Authority) -> None:
    pair = authority.issue_server(["10.0.0.1", "fd00::1", "control"])
    certificate = x509.load_pem_x509_certificate(pair.certificate_pem)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["control", "controller.blackstart"]
    assert [str(ip) for ip in names.get_values_for_type(x509.IPAddress)] == ["10.0.0.1", "fd00::1"]
    assert "PRIVATE" not in repr(pair)


# ---- identity and enrolment ----


@pytest.mark.parametrize("name", ["", "-a", "a-", "a b", "a/b", "../a", "a" * 64, "ä", "a\n"])
def test_names_that_no_host_can_have(name: str) -> None:
    with pytest.raises(UsageError, match="must be 1 to 63 letters"):
        check_host_name(name)


@pytest.mark.parametrize(
    "names",
    [
        {},
        {"x509_subject_alternative_name": [b"controller.blackstart"]},
        {"x509_subject_alternative_name": [b"blackstart://host/a", b"blackstart://host/b"]},
        {"x509_subject_alternative_name": [b"blackstart://host/"]},
        {"x509_subject_alternative_name": [b"blackstart://host/a/../b"]},
        {"x509_common_name": [b"db-1"]},
    ],
)
def test_a_certificate_that_names_no_host_is_nobodys(names: Mapping[str, list[bytes]]) -> None:
    with pytest.raises(Unauthorised):
        host_of_context(names)


def test_the_uri_is_the_identity() -> None:
    uri = host_uri("db-1").encode()
    assert host_of_context({"x509_subject_alternative_name": [uri]}) == "db-1"


async def test_a_bad_request_does_not_use_the_token_up(authority: Authority, store: MemoryTokens) -> None:
    tokens = Tokens(store, authority.pin)
    enrolment = Enrolment(authority, tokens, MemoryHosts())
    token = (await tokens.create_join()).token.reveal()
    with pytest.raises(UsageError):
        await enrolment.enrol(
            agent_pb2.EnrolRequest(token=token, host="db-1", csr_pem=b"x"), agent_address="c:8471"
        )
    good = agent_pb2.EnrolRequest(token=token, host="db-1", csr_pem=csr(p256()))
    reply = await enrolment.enrol(good, agent_address="c:8471")
    assert reply.agent_address == "c:8471" and await enrolment.is_known("db-1")


async def test_a_name_that_is_taken_needs_a_token_of_its_own(
    authority: Authority, store: MemoryTokens
) -> None:
    tokens = Tokens(store, authority.pin)
    enrolment = Enrolment(authority, tokens, MemoryHosts("db-1"))

    async def enrol(token: Secret) -> None:
        request = agent_pb2.EnrolRequest(token=token.reveal(), host="db-1", csr_pem=csr(p256()))
        await enrolment.enrol(request, agent_address="c:8471")

    with pytest.raises(Unauthorised, match=r"enrolled already; .*: blackstart token create --host db-1"):
        await enrol((await tokens.create_join()).token)
    await enrol((await tokens.create_join(host="db-1")).token)
