"""Which settings of the console belong together."""

from __future__ import annotations

import pytest

from worker.settings.exposure import mistakes
from worker.settings.tree import Web


@pytest.mark.parametrize(
    "web",
    [
        Web(),
        Web(console=False),
        Web(token_file="/run/secrets/console"),
        Web(proxy_header="X-Auth-Request-User", proxy_networks=("10.0.0.0/8", "fd00::/8", "10.1.2.3")),
    ],
)
def test_what_fits_is_no_mistake(web):
    """The defaults, and each way to lock the console."""
    assert list(mistakes(web)) == []


@pytest.mark.parametrize(
    ("web", "says"),
    [
        (Web(console=False, token_file="/t"), "web.console is false"),
        (Web(proxy_header="X User"), "web.proxy_header must be the name of a header"),
        (Web(proxy_header="X-User\r\nX", proxy_networks=("::/0",)), "web.proxy_header must be the name of a header"),
        (Web(proxy_header="X-User", proxy_networks=()), "name the proxy's"),
        (Web(proxy_networks=("10.0.0.1/8",)), "host bits"),
        (Web(proxy_networks=("proxy.example",)), "web.proxy_networks"),
    ],
)
def test_what_would_open_nothing_or_too_much_is_a_mistake(web, says):
    """One line, which names the setting."""
    (line,) = mistakes(web)
    assert says in line
