"""Where a model comes from: the copy shipped with the code."""

from pathlib import Path
from typing import NamedTuple

from app.errors import ModelUnavailable
from app.model import Model
from app.settings import Settings

EMBEDDED = Path(__file__).parent / "embedded" / "model.safetensors"


class Served(NamedTuple):
    """A model and where it came from."""

    model: Model
    origin: str


class ModelSource:
    """The model of the moment."""

    def __init__(self, settings: Settings) -> None:
        self._current: Served | None = None

    def load(self) -> None:
        """Load the embedded model."""
        self._current = Served(Model.load(EMBEDDED.read_bytes()), "embedded")

    @property
    def current(self) -> Served:
        """Raises ModelUnavailable when nothing is loaded."""
        if self._current is None:
            raise ModelUnavailable("No hay ningún modelo cargado.")
        return self._current

    def refresh(self) -> None:
        """Nothing to refresh yet."""
