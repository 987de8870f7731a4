"""Which addresses claim checks may be fetched from. Pure."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

_MAPPED = IPv6Network("::ffff:0:0/96")
_NAT64 = IPv6Network("64:ff9b::/96")
_CARRYING_IPV4 = (_MAPPED, _NAT64)
"""Forms in which an IPv4 address is really connected to: what counts is the address inside (RFC 4291, RFC 6052)."""

_GLOBAL_UNICAST = IPv6Network("2000::/3")
_NOT_PUBLIC_V6 = (
    IPv6Network("2001::/23"),  # protocol assignments, Teredo among them (RFC 2928, RFC 4380)
    IPv6Network("2001:db8::/32"),
    IPv6Network("2002::/16"),  # 6to4: any IPv4 address can be inside (RFC 3056)
    IPv6Network("3ffe::/16"),
    IPv6Network("3fff::/20"),
)
_NOT_PUBLIC_V4 = (
    IPv4Network("100.64.0.0/10"),
    IPv4Network("168.63.129.16/32"),  # Azure's host agent stands in the public range
    IPv4Network("192.0.0.0/24"),  # Oracle's metadata among them
    IPv4Network("192.88.99.0/24"),  # 6to4 relays (RFC 7526)
    IPv4Network("198.18.0.0/15"),
    IPv4Network("224.0.0.0/3"),
)
_PRIVATE = (
    IPv4Network("10.0.0.0/8"),
    IPv4Network("100.64.0.0/10"),
    IPv4Network("127.0.0.0/8"),
    IPv4Network("172.16.0.0/12"),
    IPv4Network("192.168.0.0/16"),
    IPv6Network("::1/128"),
    IPv6Network("fc00::/7"),
)
"""What ``private = true`` opens; link-local, multicast and reserved ranges stay shut."""
_METADATA = frozenset({ip_address("100.100.100.200"), ip_address("fd00:ec2::254"), ip_address("fd20:ce::254")})
"""Clouds' metadata services that stand in private ranges (Alibaba, AWS, Google); the others' are link-local."""


def is_allowed(address: str, *, private: bool) -> bool:
    """Tell whether a numeric address may be connected to; a private one only where that is allowed.

    Only canonical spellings are numbers here: ``0x7f.1``, ``127.1`` and ``2130706433`` are not allowed. Nor is an
    address with a zone: it is of one link.
    """
    found = parsed(address)
    return found is not None and (_is_public(found) or (private and _is_private(found)))


def parsed(address: str) -> IPv4Address | IPv6Address | None:
    """Return the address that is really connected to; None where the text is no canonical address."""
    try:
        found = ip_address(address)
    except ValueError:
        return None
    if isinstance(found, IPv4Address):
        return found
    if found.scope_id is not None:
        return None
    carries = any(found in network for network in _CARRYING_IPV4)
    return IPv4Address(int(found) & 0xFFFF_FFFF) if carries else found


def _is_public(address: IPv4Address | IPv6Address) -> bool:
    """Python's tables follow IANA's registries; what they call global and is not meant for hosts is taken out."""
    if not address.is_global:
        return False
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _NOT_PUBLIC_V4)
    return address in _GLOBAL_UNICAST and not any(address in network for network in _NOT_PUBLIC_V6)


def _is_private(address: IPv4Address | IPv6Address) -> bool:
    return address not in _METADATA and any(address in network for network in _PRIVATE)
