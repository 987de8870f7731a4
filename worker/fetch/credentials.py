"""A root's ``credentials_file``: the store's own names for its credentials, in TOML."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

KEYS_OF = {
    "s3": frozenset({"access_key_id", "secret_access_key", "session_token", "skip_signature"}),
    "gs": frozenset({"service_account", "service_account_key", "application_credentials", "skip_signature"}),
    "az": frozenset(
        {"account_name", "account_key", "sas_key", "client_id", "client_secret", "tenant_id", "skip_signature"}
    ),
}
"""Known keys of each store, as obstore names them; ``skip_signature = true`` is for public buckets."""


def read_credentials(path: str, scheme: str, setting: str, mistakes: list[str]) -> dict[str, Any] | None:
    """Return a credentials file's table, or None after adding its mistakes. No value ever comes into a message."""
    where = f"{setting}: credentials_file {path}"
    try:
        table = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        mistakes.append(f"{where}: can't be read: {error.strerror}")
        return None
    except ValueError:
        mistakes.append(f"{where}: is not TOML")
        return None
    known = KEYS_OF[scheme]
    wrong = [f"has a key that {scheme}:// does not know; known are {', '.join(sorted(known))}"] * bool(
        table.keys() - known
    )
    wrong += [
        f"{key} must be a {'boolean' if key == 'skip_signature' else 'string in quotes'}"
        for key in sorted(table.keys() & known)
        if not isinstance(table[key], bool if key == "skip_signature" else str)
    ]
    mistakes += [f"{where}: {what}" for what in wrong]
    return None if wrong else table
