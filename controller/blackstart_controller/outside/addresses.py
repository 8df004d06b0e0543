"""Pure: which origins there are, and which addresses are never spoken to, however they are spelled."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network
from typing import TypeAlias

import httpx2

Address: TypeAlias = IPv4Address | IPv6Address
PORTS = {"http": 80, "https": 443}
NAME = re.compile(r"(?!-)[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*\Z")
NUMBER = re.compile(
    r"(0x[0-9a-f]*|[0-9]+)\Z"
)  # a last label like this makes a name an address for most systems
NAT64 = IPv6Network("64:ff9b::/96")
THIS_NETWORK = ipaddress.ip_network("0.0.0.0/8")
# Clouds give credentials away here; the rest of them is link-local and refused as such.
METADATA = frozenset(
    ipaddress.ip_address(text)
    for text in ("100.100.100.200", "168.63.129.16", "192.0.0.192", "fd00:ec2::254", "fd20:ce::254")
)


class NoOrigin(ValueError):
    """The text says why, without the URL: it may hold a secret."""


@dataclass(frozen=True, slots=True)
class Origin:
    """`scheme://host[:port]`. Two spellings of one origin are equal; an unusual spelling is none."""

    scheme: str
    host: str
    port: int

    @classmethod
    def of(cls, url: httpx2.URL) -> Origin:
        """Raises NoOrigin."""
        if url.scheme not in PORTS:
            raise NoOrigin("only http:// and https:// are spoken here")
        port = url.port or PORTS[url.scheme]
        if not 1 <= port <= 65535:
            raise NoOrigin(f"port {port} must be 1 to 65535")
        return cls(url.scheme, _plain(url.raw_host.decode("ascii")), port)

    @classmethod
    def parse(cls, text: str) -> Origin:
        """An origin as an operator writes it, and nothing more than an origin. Raises NoOrigin."""
        url = parse_url(text)
        if url.userinfo or url.fragment or url.raw_path != b"/":
            raise NoOrigin("an origin is scheme://host[:port], without user, path and query")
        return cls.of(url)

    @property
    def names_loopback(self) -> bool:
        """Whether this origin says itself that it is on this machine."""
        if self.host == "localhost":
            return True
        literal = literal_of(self.host)
        return literal is not None and literal.is_loopback

    @property
    def authority(self) -> str:
        """What the Host header says: without the port that the scheme has anyway."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == PORTS[self.scheme] else f"{host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}"


def parse_url(text: str) -> httpx2.URL:
    """Raises NoOrigin. The library's own text would repeat the URL."""
    try:
        return httpx2.URL(text)
    except httpx2.InvalidURL as error:
        raise NoOrigin("this is no URL; write https://host[:port]/path") from error


def literal_of(host: str) -> Address | None:
    """The address that `host` spells in the usual way, or None: then it is a name."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def refusal_of(address: Address, *, loopback: bool) -> str | None:
    """Why this address is not connected to, or None. `loopback`: the operator has named it as such."""
    inner = _embedded(address)
    if inner is not None:
        return refusal_of(inner, loopback=loopback)
    if address in METADATA:
        return "a cloud's metadata service"
    if address.is_loopback:
        return None if loopback else "loopback"
    if address.is_link_local:
        return "link-local, where clouds keep their metadata service"
    if address.is_multicast:
        return "multicast"
    if address.is_unspecified or (isinstance(address, IPv4Address) and address in THIS_NETWORK):
        return "unspecified"
    return "reserved" if address.is_reserved else None


def _embedded(address: Address) -> IPv4Address | None:
    """The IPv4 address that packets to this IPv6 address reach in the end."""
    if isinstance(address, IPv4Address):
        return None
    if address in NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else None)


def _plain(host: str) -> str:
    literal = literal_of(host)
    if literal is not None and "%" not in host:
        usual = _embedded(literal) or literal
        if str(usual) != host.lower():
            raise NoOrigin(f"write the address as {usual}")
        return str(literal)
    if not NAME.match(host) or NUMBER.match(host.rpartition(".")[2]):
        raise NoOrigin(
            "the host must be a name or an address in its usual form, such as 10.0.0.1 or [fd00::1]"
        )
    return host
