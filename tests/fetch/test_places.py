"""A URI means one place, or it is refused."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.fetch.fetcher import OPENERS
from worker.fetch.places import Place, UnclearPlaceError, place_of
from worker.fetch.roots import AllowedRoot, allowed_roots, exceptions
from worker.settings.load import load
from worker.settings.tree import Root

SERVED = ("file", "s3", "gs", "az")


@pytest.mark.parametrize(
    ("uri", "place"),
    [
        ("s3://Bucket/a/b.ts", ("s3", "Bucket", "a/b.ts")),
        ("S3://bucket/a/b.ts", ("s3", "bucket", "a/b.ts")),
        ("s3://bucket/a//./b.ts", ("s3", "bucket", "a/b.ts")),
        ("s3://bucket/a/x/../b.ts", ("s3", "bucket", "a/b.ts")),
        ("s3://bucket/a/%2e%2e/b.ts", ("s3", "bucket", "b.ts")),
        ("s3://bucket/a%2F..%2Fb.ts", ("s3", "bucket", "b.ts")),
        ("s3://bucket/a/%252e%252e/b.ts", ("s3", "bucket", "a/%2e%2e/b.ts")),
        ("s3://bucket/a%20b%3F%23.ts", ("s3", "bucket", "a b?#.ts")),
        ("s3://bucket/é.ts", ("s3", "bucket", "é.ts")),
        ("file:///media/a.ts", ("file", "", "media/a.ts")),
        ("file://localhost/media/a.ts", ("file", "localhost", "media/a.ts")),
    ],
)
def test_a_uri_is_taken_apart_and_normalised(uri: str, place: tuple[str, str, str]) -> None:
    """Decoded once, then resolved like a path."""
    found = place_of(uri)
    assert (found.scheme, found.authority, found.path) == place


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "a/b.ts",
        "/etc/passwd",
        "s3:bucket/a",
        "s3://bucket/../a",
        "s3://bucket/a/../../b",
        "s3://bucket/%2e%2e/b",
        "s3://user:secret@bucket/a",
        "s3://bucket:80/a",
        "s3://buck%65t/a",
        "s3://bucket/a?versionId=1",
        "s3://bucket/a?",
        "s3://bucket/a#b",
        "s3://bucket/a%00b",
        "s3://bucket/a%0Ab",
        "s3://bucket/\ta",
        "s3://buc\nket/a",
        " s3://bucket/a",
        "s3://bucket/a ",
        "s3://bucket/%ff",
        "s3://[bucket/a",
        "s3://bucket/\ud800",
        "s3://bucket/" + "a" * 5000,
    ],
)
def test_a_uri_with_more_than_one_meaning_is_refused_without_being_repeated(uri: str) -> None:
    """What a parser might drop, split or decode differently never reaches a root's check."""
    with pytest.raises(UnclearPlaceError) as caught:
        place_of(uri)
    assert "secret" not in str(caught.value)


@given(st.text(max_size=60))
def test_any_text_is_a_normal_place_or_refused(text: str) -> None:
    """Whatever comes after the bucket, nothing but plain segments is left."""
    try:
        place = place_of("s3://bucket/" + text)
    except UnclearPlaceError:
        return
    assert not {".", ".."} & set(place.path.split("/"))
    assert "//" not in place.path
    assert place.authority == "bucket"


@given(st.lists(st.text(st.characters(min_codepoint=32, codec="utf-8", exclude_characters="\x7f/"), min_size=1)))
def test_a_quoted_name_comes_back_as_it_was(segments: list[str]) -> None:
    """Publishers can name any object by percent-encoding."""
    plain = [each for each in segments if each not in (".", "..")]
    uri = "s3://bucket/" + "/".join(quote(each, safe="") for each in plain)
    if len(uri) <= 4096:
        assert place_of(uri).path == "/".join(plain)


def root(uri: str) -> AllowedRoot:
    """Return a root that is right."""
    mistakes: list[str] = []
    found = allowed_roots([uri], SERVED, mistakes)
    assert mistakes == []
    return found[0]


@pytest.mark.parametrize(
    ("uri", "is_below"),
    [
        ("s3://bucket/live/a.ts", True),
        ("s3://bucket/live/x/a.ts", True),
        ("s3://bucket/live/../live/a.ts", True),
        ("s3://bucket/live/", False),
        ("s3://bucket/live", False),
        ("s3://bucket/liver/a.ts", False),
        ("s3://bucket/other/a.ts", False),
        ("s3://bucket/live/../other/a.ts", False),
        ("s3://bucket/live/%2e%2e/other/a.ts", False),
        ("s3://bucket/a.ts", False),
        ("s3://BUCKET/live/a.ts", False),
        ("s3://bucket.evil/live/a.ts", False),
        ("gs://bucket/live/a.ts", False),
    ],
)
def test_a_root_holds_what_lies_below_its_bucket_and_prefix(uri: str, *, is_below: bool) -> None:
    """Scheme, bucket and whole segments of the prefix all count."""
    assert root("s3://bucket/live/").holds(place_of(uri)) is is_below


def test_a_whole_bucket_can_be_a_root() -> None:
    """Then every object of it is allowed, but not the bucket itself."""
    whole = root("s3://bucket/")
    assert whole.holds(Place(scheme="s3", authority="bucket", path="a.ts"))
    assert not whole.holds(Place(scheme="s3", authority="bucket", path=""))


WRONG_ROOTS: list[tuple[Root | str, str]] = [
    ("s3://bucket/live", "s3://bucket/live must end in a slash"),
    ("s3:///live/", "names no bucket"),
    ("ftp://host/a/", "its scheme must be one of az://, file://, gs://, s3://"),
    ("media/", "it is no URI with a scheme"),
    ("s3://user:secret@bucket/live/", "'s3://bucket/live/': the URI has a user"),
    ("file:///", "would allow every file of this machine"),
    ("file://media/a/", "names a host"),
    (Root(uri="file:///media/", region="r"), "region means nothing for file://"),
    (Root(uri="gs://bucket/", region="r"), "region means nothing for gs://"),
    (Root(uri="s3://bucket/", header_file="h"), "header_file means nothing for s3://"),
    (Root(uri="s3://bucket/", endpoint="http://store.example"), "that needs plaintext = true"),
    (Root(uri="s3://bucket/", endpoint="https://10.0.0.1"), "that needs private = true"),
    (Root(uri="s3://bucket/", endpoint="https://169.254.169.254"), "that needs private = true"),
    (Root(uri="s3://bucket/", endpoint="https://[::1]:90"), "that needs private = true"),
    (Root(uri="s3://bucket/", endpoint="https://localhost"), "that needs private = true"),
    (Root(uri="s3://bucket/", endpoint="store.example"), "endpoint must be http(s)://host[:port]"),
    (Root(uri="s3://bucket/", endpoint="https://u:secret@store.example"), "endpoint must be http(s)://host[:port]"),
    (Root(uri="s3://bucket/", endpoint="https://store.example:x"), "endpoint is malformed"),
]


@pytest.mark.parametrize(("wrong", "mistake"), WRONG_ROOTS)
def test_a_mistake_in_a_root_is_told_without_its_secrets(wrong: Root | str, mistake: str) -> None:
    """The operator learns which root, and what to change."""
    mistakes: list[str] = []
    allowed_roots(["s3://good/", wrong], SERVED, mistakes)
    assert len(mistakes) == 1
    assert mistakes[0].startswith("fetch.roots[1]: ")
    assert mistake in mistakes[0]
    assert "secret" not in mistakes[0]


def test_all_mistakes_in_all_roots_are_told() -> None:
    """One start shows them all; a root that is there twice is one of them."""
    mistakes: list[str] = []
    both = Root(uri="s3://bucket/live", endpoint="http://127.0.0.1", header_file="h")
    allowed_roots([both, "s3://good/a/", "s3://good/a//"], SERVED, mistakes)
    assert [each.partition(":")[0] for each in mistakes] == ["fetch.roots[0]"] * 4 + ["fetch.roots[2]"]
    assert mistakes[-1].endswith("is there twice")


def test_every_exception_of_a_root_is_told_for_the_preflight() -> None:
    """What is allowed for one host only, in words."""
    granted = Root(uri="s3://b/", private=True, plaintext=True, credentials_file="c")
    assert exceptions("s3://b/") == exceptions(Root(uri="s3://b/")) == ()
    assert exceptions(granted) == (
        "s3://b/: private addresses are allowed",
        "s3://b/: http:// is allowed",
        "s3://b/: its own credentials are used",
    )


def test_the_roots_of_the_documentation_are_roots(tmp_path: Path) -> None:
    """Its examples can be taken as they stand."""
    page = (Path(__file__).parents[2] / "docs" / "claim-checks.md").read_text()
    examples = re.findall(r"^```toml\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    mistakes: list[str] = []
    for example in examples:
        file = tmp_path / "framewatch.toml"
        file.write_text(example)
        allowed_roots(load(flags={}, environ={}, config=file).fetch.roots, OPENERS, mistakes)
    assert (len(examples), mistakes) == (2, [])


WRONG_WEB_ROOTS: list[tuple[Root | str, str]] = [
    ("http://host/a/", "it is http://: that needs plaintext = true"),
    ("https://host/a", "must end in a slash"),
    ("https://host/a/?sig=secret", "has a query"),
    ("https:///a/", "the URI's host is no plain name"),
    (Root(uri="https://host/", plaintext=True, header_file="h"), "header_file would go over http:// too"),
    (Root(uri="https://host/", region="r"), "region means nothing for https://"),
    (Root(uri="https://host/", credentials_file="c"), "credentials_file means nothing for https://"),
    (Root(uri="https://host/", endpoint="https://other"), "endpoint means nothing for https://"),
]


@pytest.mark.parametrize(("wrong", "mistake"), WRONG_WEB_ROOTS)
def test_a_mistake_in_a_root_of_the_web_is_told_without_its_secrets(wrong: Root | str, mistake: str) -> None:
    """As of the other schemes'."""
    mistakes: list[str] = []
    allowed_roots([wrong], OPENERS, mistakes)
    assert mistake in "".join(mistakes)
    assert "secret" not in "".join(mistakes)


@pytest.mark.parametrize(
    ("uri", "url"),
    [
        ("HTTPS://Host.Example/a/b.ts", "https://host.example/a/b.ts"),
        ("https://host:443/a", "https://host/a"),
        ("http://host:80/a", "http://host/a"),
        ("http://host:443/a", "http://host:443/a"),
        ("https://[2001:DB8:0::1]:8443/a", "https://[2001:db8::1]:8443/a"),
        ("https://192.0.2.1/a", "https://192.0.2.1/a"),
        ("https://xn--mdia-bpa.example/a", "https://xn--mdia-bpa.example/a"),
        ("https://a_b.host/a%20b/../c%2Bd?x=%2F&y", "https://a_b.host/c%2Bd?x=%2F&y"),
    ],
)
def test_a_place_on_the_web_has_one_url(uri: str, url: str) -> None:
    """Host, port and path in one spelling, the query as it came; taken apart again, it is the same place."""
    assert place_of(uri).url == url
    assert place_of(url) == place_of(uri)


@pytest.mark.parametrize(
    "uri", ["https://mar\u212aet/a", "https://[::1]x/a", "https://[::1]:/a", "https://" + "a." * 127 + "a/b"]
)
def test_a_host_that_only_some_parsers_take_is_refused(uri: str) -> None:
    """The Kelvin sign is a k in lower case, for one."""
    with pytest.raises(UnclearPlaceError, match=r"the URI's (host|port)"):
        place_of(uri)


@given(st.text(max_size=40))
def test_any_text_after_a_host_is_below_it_or_refused(text: str) -> None:
    """The web's URL of a place leads to that place, and no further."""
    try:
        place = place_of("https://host/live/" + text)
    except UnclearPlaceError:
        return
    assert place.authority == "host"
    assert place_of(place.url) == place
