"""What is left out of a cold start is missed by nobody."""

import json
import subprocess
import sys
from typing import Any

from tests.conftest import ROOT

USUAL = "import fastapi, fastapi.openapi.models; from lambda_handler import app"
LEAN = "from lambda_handler import app"


def run(code: str) -> Any:
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return json.loads(ended.stdout)


def test_the_documentation_is_the_same_however_fastapi_was_imported() -> None:
    schema = "import json; print(json.dumps(app.openapi()))"

    usual = run(f"{USUAL}; {schema}")

    assert run(f"{LEAN}; {schema}") == usual
    assert usual["paths"]["/predecir"]["post"]["requestBody"]


def test_others_find_pydantic_as_it_was() -> None:
    code = "import json, pydantic.v1 as one, pydantic as two"
    found = "print(json.dumps([one.VERSION[:2], 'defer_build' in two.BaseModel.model_config]))"

    assert run(f"{LEAN}; {code}; {found}") == ["1.", False]
