"""Settings from the environment."""

import os
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True)
class Settings:
    """Settings of one process."""

    cors_origins: tuple[str, ...] = ()
    api_root_path: str = ""

    @classmethod
    def from_environment(cls) -> Self:
        """Read them once, at start."""
        return cls(tuple(os.environ.get("CORS_ORIGINS", "").split()))
