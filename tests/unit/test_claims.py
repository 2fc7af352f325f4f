"""What the documents claim, held to what is in the repository."""

import re
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.conftest import ROOT

TESTS = {
    name for path in (ROOT / "tests").rglob("test_*.py") for name in re.findall(r"def (test_\w+)", path.read_text())
}


@pytest.mark.parametrize("document", ["reliability.md", "security.md"])
def test_a_test_that_a_document_rests_on_exists(document: str) -> None:
    named = re.findall(r"`(test_\w+)`", (ROOT / "docs" / document).read_text())

    assert named
    assert set(named) <= TESTS


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def pinned(lock: Path) -> dict[str, str]:
    """The packages of a lock file with their versions."""
    return {normal(name): version for name, version in re.findall(r"^([\w.-]+)==(\S+)", lock.read_text(), re.MULTILINE)}


def rows(page: str, heading: str) -> list[list[str]]:
    """The rows of the table under a heading."""
    table = page.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    lines = [line for line in table.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


@pytest.mark.parametrize("lock", sorted((ROOT / "requirements").glob("*.txt")), ids=lambda path: path.stem)
def test_every_package_is_pinned_to_the_byte(lock: Path) -> None:
    entries = re.split(r"^(?=[^\s#])", lock.read_text(), flags=re.MULTILINE)[1:]

    assert lock.with_suffix(".in").exists()
    assert all(re.match(r"[\w.-]+==\S+ .*(\n    --hash=sha256:[0-9a-f]{64})+", entry) for entry in entries)


@pytest.mark.parametrize("recipe", ["Makefile", "Dockerfile.lambda", ".ci/run", ".github/workflows"])
def test_nothing_is_installed_without_its_hash_or_from_source(recipe: str) -> None:
    path = ROOT / recipe
    texts = [found.read_text() for found in ([path] if path.is_file() else path.iterdir())]
    commands = [line for text in texts for line in re.sub(r"\\\n", " ", text).splitlines() if not line.startswith("#")]

    installs = [
        part for line in commands for part in line.split("&&") if re.search(r"(\bpip\b|PIP\)).*\binstall\b", part)
    ]

    assert all("--require-hashes --only-binary :all:" in part for part in installs)
    assert bool(installs) == (recipe in {"Makefile", "Dockerfile.lambda"})


LICENCES = (ROOT / "docs" / "licences.md").read_text()


def test_the_licences_are_those_of_the_packages_in_the_image() -> None:
    listed = {normal(name): version for name, version, *_ in rows(LICENCES, "Packages")}

    assert listed == pinned(ROOT / "requirements" / "run.txt"), "run `make sbom`"


def test_every_licence_lets_us_use_and_pass_on() -> None:
    permissive = re.compile(r"(MIT|BSD|Apache|PSF|ISC)\b")
    makefile = (ROOT / "Makefile").read_text()
    (allowed,) = re.findall(r"^LICENCES := (.*)", makefile, re.MULTILINE)
    names = [row[2] for heading in ("Packages", "Files of the pages") for row in rows(LICENCES, heading)]

    assert all(permissive.match(one.strip()) for name in [*names, allowed] for one in name.split(";") if one)


def test_the_files_of_the_pages_are_listed_as_they_are() -> None:
    offline = find_spec("fastapi_offline")
    assert offline is not None
    assert offline.origin is not None
    docs, vendored = Path(offline.origin).parent / "static", ROOT / "app" / "web" / "estaticos" / "vendor"
    files = {
        "Leaflet": vendored / "leaflet" / "leaflet.js",
        "Papa Parse": vendored / "papaparse" / "papaparse.min.js",
        "Swagger UI": docs / "swagger-ui-bundle.js",
        "ReDoc": docs / "redoc.standalone.js",
    }

    for name, version, *_ in rows(LICENCES, "Files of the pages"):
        assert version in files.pop(name).read_text(encoding="utf-8"), name
    assert not files
    assert {folder.name for folder in vendored.iterdir()} == {"leaflet", "papaparse"}
