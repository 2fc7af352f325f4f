"""What the documents claim, held to what is in the repository."""

import re

import pytest

from tests.conftest import ROOT

TESTS = {
    name for path in (ROOT / "tests").rglob("test_*.py") for name in re.findall(r"def (test_\w+)", path.read_text())
}


@pytest.mark.parametrize("document", ["reliability.md"])
def test_a_test_that_a_document_rests_on_exists(document: str) -> None:
    named = re.findall(r"`(test_\w+)`", (ROOT / "docs" / document).read_text())

    assert named
    assert set(named) <= TESTS
