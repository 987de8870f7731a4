"""Addresses: what is public, what ``private`` opens, and what is shut for everybody."""

from __future__ import annotations

import errno
import socket
from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.web_servers import Names

from worker.fetch.addresses import is_allowed
from worker.fetch.connections import CheckedResolver, ForbiddenAddressError, Gate

PUBLIC = ["1.1.1.1", "93.184.216.34", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "64:ff9b::101:101"]
PRIVATE = [
    "10.0.0.1",
    "10.255.255.255",
    "100.64.0.1",
    "127.0.0.1",
    "127.255.255.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "::1",
    "fc00::1",
    "fdff::1",
    "::ffff:10.0.0.1",
    "::ffff:127.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b::10.0.0.1",
]
SHUT = [
    # unspecified, this network, link-local with the clouds' metadata, multicast, reserved, broadcast
    "0.0.0.0",  # noqa: S104 (nothing listens there)
    "0.1.2.3",
    "169.254.169.254",
    "169.254.170.2",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    # metadata elsewhere: Alibaba, Oracle, Azure, AWS, Google
    "100.100.100.200",
    "192.0.0.192",
    "168.63.129.16",
    "fd00:ec2::254",
    "fd20:ce::254",
    # protocol assignments, documentation, benchmarks, 6to4 relays
    "192.0.0.9",
    "192.0.2.1",
    "192.88.99.1",
    "198.18.0.1",
    "198.19.255.255",
    "198.51.100.1",
    "203.0.113.1",
    # IPv6's
    "::",
    "fe80::1",
    "fe80::1%eth0",
    "2606:4700::1111%eth0",
    "fc00::1%eth0",
    "fec0::1",
    "ff02::1",
    "100::1",
    "2001:db8::1",
    "3fff::1",
    "4000::1",
    # an IPv4 address inside: mapped, compatible, translated, NAT64, 6to4, Teredo, ISATAP's prefix
    "::ffff:169.254.169.254",
    "::ffff:0.0.0.0",
    "::127.0.0.1",
    "::a9fe:a9fe",
    "::ffff:0:127.0.0.1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::7f00:1",
    "2002:7f00:1::",
    "2002:a9fe:a9fe::1",
    "2001:0:7f00:1::",
    "2001::1",
    "fe80::5efe:127.0.0.1",
    # no address to those who spell it so
    "127.1",
    "0x7f.0.0.1",
    "0177.0.0.1",
    "2130706433",
    "127.0.0.1 ",
    "127.0.0.1:80",
    "localhost",
    "",
]


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_is_allowed(address: str) -> None:
    """Whether private ones are or not."""
    assert is_allowed(address, private=False)
    assert is_allowed(address, private=True)


@pytest.mark.parametrize("address", PRIVATE)
def test_a_private_address_is_allowed_where_that_is_said(address: str) -> None:
    """In whatever form it comes."""
    assert not is_allowed(address, private=False)
    assert is_allowed(address, private=True)


@pytest.mark.parametrize("address", SHUT)
def test_metadata_and_what_is_no_hosts_address_is_shut_for_everybody(address: str) -> None:
    """``private`` doesn't open it either."""
    assert not is_allowed(address, private=False)
    assert not is_allowed(address, private=True)


@given(st.ip_addresses())
def test_an_address_that_python_calls_not_global_is_never_public(address: IPv4Address | IPv6Address) -> None:
    """Python's tables are the least that holds; an address that carries another one counts as that."""
    inside = address
    if isinstance(address, IPv6Address) and int(address) >> 32 in (0xFFFF, 0x64FF9B << 64):
        inside = IPv4Address(int(address) & 0xFFFF_FFFF)
    assert inside.is_global or not is_allowed(str(address), private=False)


@given(st.ip_addresses(v=4))
def test_an_ipv4_address_in_ipv6_is_as_good_as_itself_or_shut(address: IPv4Address) -> None:
    """No form opens what the plain one does not."""
    for private in (False, True):
        plain = is_allowed(str(address), private=private)
        number = int(address)
        for carrier in (0xFFFF << 32, 0x64FF9B << 96):
            assert is_allowed(str(IPv6Address(carrier | number)), private=private) is plain
        for carrier in (0, 0xFFFF << 48, 0x2002 << 112):
            shift = 80 if carrier == 0x2002 << 112 else 0
            shut = IPv6Address(carrier | number << shift)
            assert shut == ip_address("::1") or not is_allowed(str(shut), private=private)


# --- where names become addresses, and addresses connections ----------------------------------------------------------


async def test_one_forbidden_address_spoils_the_others() -> None:
    """Else whoever answers could have us try until we get there."""
    for answer in (["1.1.1.1", "10.0.0.1"], ["2606:4700::1111", "::1"], ["1.1.1.1", "fe80::1%lo"]):
        with pytest.raises(ForbiddenAddressError):
            await CheckedResolver(Names(answer), private=False).resolve(HOST, 443)


async def test_each_look_up_is_checked_anew() -> None:
    """A name that was public once may mean something else now."""
    resolver = CheckedResolver(Names(["1.1.1.1", "2606:4700::1111"], ["127.0.0.1"]), private=False)
    found = await resolver.resolve(HOST, 443)
    assert [(each["host"], each["port"], each["hostname"]) for each in found] == [
        ("1.1.1.1", 443, HOST),
        ("2606:4700::1111", 443, HOST),
    ]
    with pytest.raises(ForbiddenAddressError, match="needs private = true"):
        await resolver.resolve(HOST, 443)


async def test_a_name_without_an_address_is_an_error_of_the_systems_kind() -> None:
    """As a name that nobody knows."""
    with pytest.raises(OSError, match="no address"):
        await CheckedResolver(Names([]), private=True).resolve(HOST, 443)


@pytest.mark.parametrize("private", [False, True])
def test_no_socket_is_made_for_a_forbidden_address(*, private: bool) -> None:
    """The last look, which numbers in URLs pass too."""
    for address in [*SHUT, *([] if private else PRIVATE)]:
        with pytest.raises(PermissionError) as caught:
            Gate(private=private)((socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 80)))
        assert caught.value.errno == errno.EACCES
    Gate(private=private)((socket.AF_INET, socket.SOCK_STREAM, 6, "", ("1.1.1.1", 80))).close()


HOST = "media.example"
