"""This project as it runs where there was no C compiler: every module from its Python source."""

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path
from types import ModuleType

APP = Path(__file__).parents[2] / "app"


class FromSource(MetaPathFinder):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        package, _, name = fullname.partition(".")
        source = APP / f"{name}.py"
        return spec_from_file_location(fullname, source) if package == "app" and source.exists() else None


sys.meta_path.insert(0, FromSource())

from lambda_handler import handler  # noqa: E402 # after the finder is in place

__all__ = ["handler"]
