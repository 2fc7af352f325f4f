"""Small editions of the trials of docs/reliability.md, so that what breaks them shows in every run of the tests."""

from training.recipe import Trained
from trials import artifacts, inputs


def test_a_damaged_model_is_refused_or_served_safely_and_alike_by_every_build(trained: Trained) -> None:
    trial = artifacts.measure(300, seed=9, small=trained.data, check_indices=False)

    assert trial.broken == []
    counted = {word: sum(by[word] for by in trial.verdicts.values()) for word in artifacts.WORDS}
    assert sum(counted.values()) == 300
    assert min(counted["refused"], counted["served"], counted["unproven"]) > 0, "it tries what is sound and what isn't"


def test_what_schemathesis_sends_is_answered_as_the_document_says_by_every_way_in() -> None:
    # the boundaries of every field are left to the trial: they are 700 cases
    trial = inputs.measure(150, seed=9, phases={"coverage": False})

    assert trial.broken == []
    assert all(sum(route.cases[way] for route in trial.routes.values()) >= 50 for way in inputs.WAYS)
    statuses = {status for route in trial.routes.values() for status in route.statuses}
    assert statuses == {200, 422}, "it sends what is right and what isn't"
