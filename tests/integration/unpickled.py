"""Start the function, answer events, and say which modules that can unpickle were asked for. A script of its own.

    python unpickled.py < EVENTS (a JSON list)

It must need nothing but the function and the standard library: the container suite runs it inside the image.
"""

import json
import sys
from collections.abc import Sequence
from types import ModuleType, SimpleNamespace

# `marshal` is missing here because Python itself reads its own .pyc files with it.
UNPICKLERS = {"pickle", "_pickle", "pickletools", "shelve", "multiprocessing"} | {"cloudpickle", "dill", "joblib"}
UNPICKLERS |= {"numpy", "pandas", "scipy", "sklearn"}
asked: list[str] = []


class Watching:
    """Takes note of who is asked for, and finds nobody."""

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> None:
        """Come before every other finder."""
        if name.partition(".")[0] in UNPICKLERS:
            asked.append(name)


def hear(event: str, _: object) -> None:
    """Take note of an unpickling whoever does it."""
    if event == "pickle.find_class":
        asked.append(event)


sys.meta_path.insert(0, Watching())
sys.addaudithook(hear)

events = json.load(sys.stdin)
before = UNPICKLERS & set(sys.modules)

import awslambdaric.bootstrap  # noqa: E402, F401 - what calls the handler on Lambda

import lambda_handler  # noqa: E402 - the cold start

context = SimpleNamespace(aws_request_id="11111111-2222-3333-4444-555555555555")
statuses = [lambda_handler.handler(event, context)["statusCode"] for event in events]
routes = sorted(lambda_handler.app.openapi()["paths"])
loaded = UNPICKLERS & set(sys.modules)
print(json.dumps({"asked": asked, "before": [*before], "loaded": [*loaded], "statuses": statuses, "routes": routes}))
