"""URIs as people may see them."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.uris import public_text, public_uri


@pytest.mark.parametrize(
    ("uri", "public"),
    [
        ("s3://bucket/a/17.ts", "s3://bucket/a/17.ts"),
        ("https://host:8443/a?X-Amz-Signature=1#t=2", "https://host:8443/a"),
        ("https://user:password@host/a", "https://host/a"),
        ("https://user:p@ss@host/a@b", "https://host/a@b"),
        ("https://[::1]:8443/a", "https://[::1]:8443/a"),
        ("https://token@[2001:db8::1]/a", "https://[2001:db8::1]/a"),
        ("file:///folder/a.ts?x", "file:///folder/a.ts"),
        ("//user@host/a?b", "//host/a"),
        ("/relative?secret", "/relative"),
        ("urn:uuid:6e8bc430", "urn:uuid:6e8bc430"),
        ("data:video/mp4;base64,AAAA", "data:"),
        (" https://host/a ?b ", "https://host/a"),
        ("https://key:sec/ret@host/a", "https://"),
        ("https://user:sec?ret@host/a", "https://"),
        ("", ""),
    ],
)
def test_a_public_uri_is_what_anybody_may_see(uri: str, public: str) -> None:
    """User, password, query and fragment go; where nobody can tell them, everything but the scheme does."""
    assert public_uri(uri) == public


@pytest.mark.parametrize(
    ("text", "public"),
    [
        ("nothing to hide: 1 // 2", "nothing to hide: 1 // 2"),
        ("a  b\tc", "a  b\tc"),
        ("see https://u:p@h/x?y and\ns3://k:s@b/y#z!", "see https://h/x and\ns3://b/y"),
        ('{"url":"https://u:p@h/x?y"}', '{"url":"https://h/x'),
        ("https://u:p w@h/x", "https://h/x"),
        ("1://u:p@h", "1://u:p@h"),
    ],
)
def test_a_public_text_has_public_urls(text: str, public: str) -> None:
    """All else stays as it is, white space included."""
    assert public_text(text) == public


PARTS = st.text(st.characters(codec="ascii", categories=["Ll", "Nd"]), max_size=10)


@given(
    scheme=st.sampled_from(["https", "s3", "rtmp"]),
    host=PARTS,
    path=PARTS,
    noise=st.text(st.characters(exclude_characters="/?#"), max_size=10),
)
def test_no_user_query_or_fragment_survives(scheme: str, host: str, path: str, noise: str) -> None:
    """Wherever the secret stands and whatever stands beside it."""
    secret = "HUNTER"  # it plays one
    uri = f"{scheme}://{noise}{secret}:{secret}@{host}/{path}?{secret}#{noise}{secret}"
    assert secret not in public_uri(uri)
    assert public_uri(uri) == f"{scheme}://{host}/{path}"


@given(st.text(max_size=80) | st.from_regex(r".{0,9}(://|//|data:).{0,20}[@?#:/].{0,20}"))
def test_twice_is_once(text: str) -> None:
    """Nothing that looks safe after one pass looks different after the next, and nothing raises."""
    assert public_uri(public_uri(text)) == public_uri(text)
    assert public_text(public_text(text)) == public_text(text)


@pytest.mark.parametrize(
    "text", ["a" * 1_000_000, "a://" * 250_000, " " * 1_000_000, "a" * 999_990 + "!://?", "@:" * 500_000]
)
def test_a_hostile_text_takes_linear_time(text: str) -> None:
    """A megabyte is done in well under a second."""
    began = time.process_time()
    public_text(text)
    public_uri(text)
    assert time.process_time() - began < 1.0
