"""Who may see the console. Pure but for the token's file, which is read anew each time: a rotated one holds at once.

On loopback whoever is on the machine may, if the request names a loopback host: a page elsewhere whose name was made to
point here (DNS rebinding) names its own. Elsewhere a token is asked for, or the header of a proxy that has asked.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from worker.errors import Stopped

if TYPE_CHECKING:
    from collections.abc import Mapping

    from worker.settings.tree import Web

COOKIE = "framewatch_console"
SESSION_S = 12 * 3600
LEAST_TOKEN = 16
"""Characters of a token: below it could be guessed."""
MOST_TOKEN_BYTES = 4096
LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
HOST = re.compile(r"(?:\[(?P<six>[0-9A-Fa-f:.]+)\]|(?P<name>[^:\[\]]+))(?::[0-9]{1,5})?")
"""The header ``Host``: a name or an address, and perhaps a port."""

Answer = Literal["may", "login", "proxy", "host"]
"""may. login: a token is wanted. proxy: it has to come through the proxy. host: the host that it names is not us."""


def is_loopback(host: str) -> bool:
    """Return whether who listens there is reached from this machine only."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def why_off(settings: Web) -> str | None:
    """Return why there is no console, in a line that says how to turn it on; None where there is one."""
    if not settings.console:
        return "The console is off: web.console is false."
    if is_loopback(settings.host) or settings.token_file or settings.proxy_header:
        return None
    return (
        f"The console is off: web.host is {settings.host}, which others can reach. Set web.token_file to a file with a "
        f"token of at least {LEAST_TOKEN} characters, or web.proxy_header to the header of a proxy that asks who it is."
    )


class Access:
    """Decides on each request to the console."""

    def __init__(self, settings: Web) -> None:
        """Look at the token once.

        Raises:
            Stopped: It can't be read, or could be guessed.
        """
        self._token_file = Path(settings.token_file) if settings.token_file else None
        self._proxy_header = settings.proxy_header
        self._proxies = [ip_network(one) for one in settings.proxy_networks]
        self._names = LOOPBACK_NAMES | {settings.host} if is_loopback(settings.host) else None
        if self._token_file is not None:
            self._token()

    def answer(self, headers: Mapping[str, str], cookies: Mapping[str, str], remote: str | None, at_s: float) -> Answer:
        """Return whether a request may see the console, and if not, what it lacks. ``remote`` is who connected to us.

        Raises:
            Stopped: The token can't be read any longer.
        """
        if self._names is not None and _host(headers.get("Host", "")) not in self._names:
            return "host"
        if self._token_file is None and not self._proxy_header:
            return "may"
        if self._proxy_header and headers.get(self._proxy_header) and self._is_proxy(remote):
            return "may"
        if self._token_file is None:
            return "proxy"
        token = self._token()
        scheme, _, given = headers.get("Authorization", "").partition(" ")
        bears = scheme.lower() == "bearer" and _same(given.strip().encode(), token)
        return "may" if bears or _is_session(cookies.get(COOKIE, ""), token, at_s) else "login"

    def session(self, given: str, at_s: float) -> str | None:
        """Return the cookie of a session that begins now for who gives the token; None where it is not the token."""
        if self._token_file is None:
            return None
        token = self._token()
        return _session(token, int(at_s) + SESSION_S) if _same(given.strip().encode(), token) else None

    def _is_proxy(self, remote: str | None) -> bool:
        if remote is None:
            return False
        address = ip_address(remote.partition("%")[0])
        mapped = getattr(address, "ipv4_mapped", None)  # an IPv4 neighbour of a socket that listens on ::
        return any((mapped or address) in network for network in self._proxies)

    def _token(self) -> bytes:
        file = self._token_file
        try:
            if file is None:
                raise FileNotFoundError  # nobody asks without one
            with file.open("rb") as opened:
                token = opened.read(MOST_TOKEN_BYTES).strip()
        except OSError as error:
            raise Stopped(f"web.token_file: can't be read: {error.strerror or error}") from error
        if len(token) < LEAST_TOKEN:
            raise Stopped(f"web.token_file: the token has {len(token)} characters, at least {LEAST_TOKEN} are wanted")
        return token


def _host(header: str) -> str | None:
    found = HOST.fullmatch(header)
    return None if found is None else (found["six"] or found["name"]).lower()


def _same(given: bytes, token: bytes) -> bool:
    """Compare in a time that tells nothing, not even the length."""
    return hmac.compare_digest(hashlib.sha256(given).digest(), hashlib.sha256(token).digest())


def _session(token: bytes, until_s: int) -> str:
    """Return a cookie that only who has the token can make: it ends by itself, and when the token is another."""
    told = str(until_s)
    return f"{told}.{hmac.new(token, b'framewatch console ' + told.encode(), hashlib.sha256).hexdigest()}"


def _is_session(cookie: str, token: bytes, at_s: float) -> bool:
    told = cookie.partition(".")[0]
    if not (told.isascii() and told.isdigit() and len(told) <= len(str(2**53))):
        return False
    return hmac.compare_digest(cookie.encode(), _session(token, int(told)).encode()) and at_s < int(told)
