"""Where OAUTHBEARER's tokens come from."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from worker.errors import UsageError
from worker.kafka import tokens
from worker.kafka.tokens import FileTokens, MskTokens, NoToken, checked, provider
from worker.settings.tree import Kafka

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MSK = "b-1.demo.abc123.c2.kafka.eu-west-1.amazonaws.com:9098"


class Says:
    """A provider that gives, or raises, what it was told to."""

    def __init__(self, said: object) -> None:
        self._said = said

    def token(self) -> str:
        if isinstance(self._said, Exception):
            raise self._said
        return self._said  # type: ignore[return-value] # strangers' providers may give anything


@pytest.fixture
def brought(tmp_path: Path) -> Iterator[None]:
    """A package that brings a provider, and one that can't be loaded."""
    info = tmp_path / "brings-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: brings\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{tokens.GROUP}]\nours = brings_tokens:make\nbroken = brings_tokens:no\n")
    (tmp_path / "brings_tokens.py").write_text(
        "class Made:\n"
        "    def __init__(self, kafka):\n        self.kafka = kafka\n"
        "    def token(self):\n        return 'for-' + self.kafka.group_id\n"
        "make = Made\n"
        "def no(kafka):\n    raise RuntimeError('token=hunter2')\n"
    )
    sys.path.insert(0, str(tmp_path))
    yield
    sys.path.remove(str(tmp_path))
    sys.modules.pop("brings_tokens", None)


def test_a_file_is_read_for_each_token(tmp_path: Path) -> None:
    """Who keeps the file fresh need tell nobody."""
    file = tmp_path / "token"
    file.write_text("first\n")
    source = FileTokens(Kafka(token_file=str(file)))
    assert source.token() == "first"
    file.write_text("second")
    assert source.token() == "second"


@pytest.mark.parametrize("content", [None, b"", b"\xff\xfe", b"\n"])
def test_a_file_without_a_token_is_told_by_its_name(tmp_path: Path, content: bytes | None) -> None:
    """Missing, empty or no text: the setting and the path are in the line."""
    file = tmp_path / "token"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(NoToken, match=r"kafka\.token_file .*token"):
        FileTokens(Kafka(token_file=str(file))).token()


@pytest.mark.parametrize("said", ["", "two words", "with\x01control", "line\nend", b"bytes", None])
def test_what_is_no_token_is_never_sent(said: object) -> None:
    """A control character would write into the login message; the text is not told."""
    with pytest.raises(NoToken) as told:
        checked("theirs", Says(said))
    assert str(told.value) == "kafka.token_provider theirs gave something that is no token"


def test_a_failing_provider_is_told_by_its_class_only() -> None:
    """What a stranger's code raises may hold the secret."""
    with pytest.raises(NoToken) as told:
        checked("theirs", Says(ValueError("secret=hunter2")))
    assert str(told.value) == "kafka.token_provider theirs failed: ValueError"


@pytest.mark.usefixtures("brought")
def test_a_package_brings_a_provider() -> None:
    """By an entry point; it is given the settings."""
    assert checked("ours", provider(Kafka(token_provider="ours", group_id="g"))) == "for-g"


@pytest.mark.usefixtures("brought")
def test_a_provider_that_cannot_be_made_or_is_unknown_is_a_mistake_in_use() -> None:
    """One line; what the package said is not in it; the known ones are named."""
    with pytest.raises(UsageError) as broken:
        provider(Kafka(token_provider="broken"))
    assert str(broken.value) == "kafka.token_provider broken can't be loaded: RuntimeError"
    with pytest.raises(UsageError, match=r"nobody has brought nix; there are broken, file, msk, ours"):
        provider(Kafka(token_provider="nix"))


def test_msk_signs_for_the_region_of_the_environment_or_of_the_brokers() -> None:
    """AWS_REGION counts first; a new token is signed for each connection."""
    asked: list[str] = []

    def sign(region: str) -> tuple[str, int]:
        asked.append(region)
        return f"token-{len(asked)}", 1_700_000_000_000

    kafka = Kafka(bootstrap_servers=MSK)
    ours = MskTokens(kafka, environ={"AWS_REGION": "us-east-2"}, sign=sign)
    assert [ours.token(), ours.token()] == ["token-1", "token-2"]
    MskTokens(kafka, environ={}, sign=sign).token()
    assert asked == ["us-east-2", "us-east-2", "eu-west-1"]
    with pytest.raises(UsageError, match="AWS_REGION"):
        MskTokens(Kafka(bootstrap_servers="kafka:9092"), environ={}, sign=sign)


def test_the_signer_of_the_extra_has_the_interface_that_we_call() -> None:
    """Its own function takes the region first, and asks nobody before it is called."""
    signer = pytest.importorskip("aws_msk_iam_sasl_signer", reason="the extra msk is not installed")
    assert tokens._signer() is signer.MSKAuthTokenProvider.generate_auth_token
    assert signer.MSKAuthTokenProvider.generate_auth_token.__code__.co_varnames[0] == "region"
