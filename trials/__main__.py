"""`python -m trials NAME`: put the service through a trial, print what came of it, and fail if it broke."""

import typer

trials = typer.Typer(no_args_is_help=True, help=__doc__, pretty_exceptions_show_locals=False)


@trials.callback()
def _several() -> None:
    """Without this, typer would make a single trial the whole command."""


if __name__ == "__main__":
    trials()
