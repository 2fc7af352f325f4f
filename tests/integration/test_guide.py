"""The guide, followed as a reader follows it: its commands run as written, its links lead somewhere."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator

import pytest

from app.api import create_app
from app.model import Model
from tests.browser.watching import Served, Source, served
from tests.conftest import ROOT

LOCAL = "http://localhost:8000"
# A server, an engine for images or the network: `make run` is what the fixture stands in for, the container suite
# tries the others, and Requests is installed already.
ELSEWHERE = ("make run", "make build", "make invoke", "make start-api", ".venv/bin/python -m pip install requests")


def blocks(language: str) -> list[str]:
    text = (ROOT / "docs" / "guia.md").read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def url(small_model: Model) -> Iterator[str]:
    with served(create_app(Source(Served(small_model)))) as address:
        yield address


def run(command: str, url: str) -> str:
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", command.replace(LOCAL, url).replace(".venv/bin/python", sys.executable)],
        cwd=ROOT,
        env=os.environ | {"API_URL": url, "API_KEY": "", "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_commands_of_the_guide_run_as_written(url: str) -> None:
    tried = [block for block in blocks("sh") if not block.startswith(ELSEWHERE)]
    assert len(tried) == 3
    outputs = [run(block, url) for block in tried]
    assert all("precio" in outputs[i] for i in (0, 1))
    assert "Una vivienda:" in outputs[2]


def test_the_program_of_the_guide_runs_as_written(url: str) -> None:
    program = "".join(blocks("python"))
    assert program.count("sesion.post") == 5
    output = run(f".venv/bin/python - <<'END'\n{program}END\n", url)
    assert "ubicacion" in output
    assert "Tiene que ser mayor que 0." in output


@pytest.mark.parametrize("document", ["docs/guia.md", "README.md"])
def test_every_target_file_and_link_that_a_document_names_is_there(document: str) -> None:
    path = ROOT / document
    text = path.read_text(encoding="utf-8")
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    named = re.findall(r"(?:^|`|&& )make ([a-z-]+)", text, re.MULTILINE)
    assert named
    assert set(named) - set(targets) == set()
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in link]
    links += re.findall(r'(?:src|srcset)="([^"]+)"', text)
    assert links
    assert [link for link in links if not (path.parent / link).exists()] == []
    assert [name for name in re.findall(r"events/[\w-]+\.json", text) if not (ROOT / name).exists()] == []


def test_the_figures_of_the_readme_are_those_of_the_model_that_ships() -> None:
    model = Model.load((ROOT / "app" / "embedded" / "model.safetensors").read_bytes())
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for name, part in (("all", "todas"), ("every field known", "completas")):
        figures = model.metadata["evaluation"][part]
        expected = (
            f"| {name} | {figures['n']:,} | {figures['mae'] / 1000:.1f} k€ "
            f"| {figures['medape'] * 100:.1f} % | {figures['cobertura'] * 100:.1f} % |"
        )
        assert expected in readme
