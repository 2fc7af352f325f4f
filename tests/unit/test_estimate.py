"""What is answered is the same in either build, to the cent, and never no number."""

import math
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

import app.cautions
import app.estimate
from app.model import Model
from tests.conftest import ROOT
from tests.unit.conftest import plain
from tests.unit.test_features import homes


@pytest.fixture(scope="module")
def model() -> Model:
    return Model.load((ROOT / "app" / "embedded" / "model.safetensors").read_bytes())


@pytest.fixture(params=["plain", "compiled"])
def estimate(request: pytest.FixtureRequest) -> ModuleType:
    if request.param == "plain":
        return plain("estimate")
    if app.estimate.__file__.endswith(".py"):
        pytest.skip("app.estimate is not compiled here; `make kernel` does it where there is a C compiler")
    return app.estimate


@pytest.mark.skipif(
    app.estimate.__file__.endswith(".py") or app.cautions.__file__.endswith(".py"),
    reason="app.estimate and app.cautions are not compiled here; `make kernel` does it where there is a C compiler",
)
def test_both_builds_answer_the_same(model: Model, plain_features: ModuleType) -> None:
    some = homes(3000)
    estimate, metadata = plain("estimate"), model.metadata
    rows = plain_features.matrix(some, model._surface)
    corrections, spreads = model._forest.predict_spread(rows, len(some))

    answered = estimate.estimates(
        rows,
        corrections,
        spreads,
        plain("cautions").Cautions(metadata),
        estimate.Calibration(metadata["interval"]),
    )

    assert model.price(some) == answered
    assert len({caution["campo"] for one in answered for caution in one["avisos"]}) > 4


@given(st.floats(0.01, 1e12))
def test_euro_are_the_nearest_cents(price: float) -> None:
    assert app.estimate.euro(math.log(price)) == pytest.approx(price, rel=1e-13, abs=0.00501)
    assert float(f"{app.estimate.euro(math.log(price)):.2f}") == app.estimate.euro(math.log(price))


@pytest.mark.parametrize("log_price", [math.nan, math.inf, 700.0, 1e308])
def test_what_is_no_price_is_an_error_and_no_infinity(estimate: ModuleType, log_price: float) -> None:
    with pytest.raises(OverflowError):
        estimate.euro(log_price)


@pytest.mark.parametrize("factors", [[], [1.0], [1.0] * 5, ["a"] * 4, None])
def test_a_calibration_needs_a_factor_for_each_number_of_unknown_fields(estimate: ModuleType, factors: object) -> None:
    with pytest.raises((TypeError, ValueError)):
        estimate.Calibration({"factors": factors, "floor": 0.05, "confianza": 0.9})
