"""Parts of documents that are made from the code: compared here, written anew by ``make docs``."""

from __future__ import annotations

import os
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"


def compare(document: str, part: str, made: str) -> None:
    """Asserts that what stands between a document's marks of a part is what the code makes.

    The marks are ``<!-- begin PART -->`` and ``<!-- end PART -->``, each on a line of its own. With
    ``FRAMEWATCH_TEST_WRITE_DOCS`` in the environment the part is written instead.
    """
    path = DOCS / document
    begin, end = f"<!-- begin {part} -->\n", f"<!-- end {part} -->\n"
    before, _, rest = path.read_text().partition(begin)
    found, _, after = rest.partition(end)
    wanted = f"\n{made.strip()}\n\n"
    if os.environ.get("FRAMEWATCH_TEST_WRITE_DOCS"):
        path.write_text(f"{before}{begin}{wanted}{end}{after}")
        return
    assert found == wanted, f"docs/{document} is not what the code says: make docs"
