"""URIs as people may see them: without user, password, query and fragment."""

from __future__ import annotations

import re

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]{0,31}")
_SCHEME_AT_END = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*$")
_HOST_AND_PORT = re.compile(r"(?:\[[^\]]*\]|[^:\[\]]*)(?::[0-9]*)?")
_AFTER_PATH = re.compile(r"[?#]")


def public_uri(uri: str) -> str:
    """Return a URI reference without what may be secret in it: user, password, query and fragment.

    Never raises, and doing it twice is doing it once. Where the authority is malformed (a password with a slash in it,
    say) nobody can tell where the secret ends, so that only the scheme is left; of ``data:`` too, which is content.
    """
    uri = _AFTER_PATH.split(uri.strip(), maxsplit=1)[0].rstrip()
    scheme, mark, rest = uri.partition("://")
    if mark and _SCHEME.fullmatch(scheme):
        return f"{scheme}://{_without_user(rest)}"
    if uri.startswith("//"):
        return f"//{_without_user(uri[2:])}"
    return "data:" if uri[:5].lower() == "data:" else uri


def public_text(text: str) -> str:
    """Return a text with every URL in it made public; a URL ends where white space begins.

    A text that is one URL is taken as a whole. Linear in the text's length, whatever it holds.
    """
    head = text.lstrip()
    scheme, mark, _ = head[:64].partition("://")
    if (mark and _SCHEME.fullmatch(scheme)) or head.startswith("//") or head[:5].lower() == "data:":
        return public_uri(text)
    if "://" not in text:
        return text
    return "".join(map(_public_word, re.split(r"(\s+)", text)))


def _without_user(rest: str) -> str:
    authority, slash, path = rest.partition("/")
    host = authority.rpartition("@")[2]
    return f"{host}{slash}{path}" if _HOST_AND_PORT.fullmatch(host) else ""


def _public_word(word: str) -> str:
    at = word.find("://")
    if at < 0:
        return word
    found = _SCHEME_AT_END.search(word[max(0, at - 32) : at])
    start = at - len(found[0]) if found else at
    return word[:start] + public_uri(word[start:])
