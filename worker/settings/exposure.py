"""Which settings of the console belong together. Pure; no file is read here."""

from __future__ import annotations

import re
from ipaddress import ip_network
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from worker.settings.tree import Web

HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
"""A header's name (RFC 9110, section 5.6.2)."""


def mistakes(web: Web) -> Iterator[str]:
    """Yield what contradicts itself, a line each. What is set and would not be used is a mistake too."""
    if not web.console and (web.token_file or web.proxy_header):
        yield "web.console is false: web.token_file and web.proxy_header would open nothing"
    if web.proxy_header and not HEADER.fullmatch(web.proxy_header):
        yield "web.proxy_header must be the name of a header"
    if web.proxy_header and not web.proxy_networks:
        yield "web.proxy_header counts from web.proxy_networks only: name the proxy's"
    for network in web.proxy_networks:
        try:
            ip_network(network)
        except ValueError as error:
            yield f"web.proxy_networks must be networks such as 10.0.0.0/8: {error}"
