"""The tutorial's approach: a pickled scikit-learn model, opened for every request."""

import os
import pickle

from mangum import Mangum

from app.surface import PriceSurface
from bench.contestants._api import Predict, create_app, surface


def forest() -> tuple[PriceSurface, Predict]:
    with open(os.environ["MODEL_FILE"], "rb") as file:  # noqa: PTH123 # as the tutorial has it
        saved, model = pickle.load(file)  # noqa: S301 # this is what is measured
    return surface(saved), model.predict


handler = Mangum(create_app(forest), lifespan="off")
