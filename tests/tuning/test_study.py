import pytest
from optuna.trial import TrialState

from transformers4recsys.errors import DivergedError, InputError
from transformers4recsys.tuning import study
from transformers4recsys.tuning.space import Choice, Range
from transformers4recsys.tuning.study import Search

SPACE = {"x": Range(0.0, 1.0), "kind": Choice(("a", "b"))}
DAYS = 8


def search_in(folder, given=None, fingerprint="same", space=SPACE):
    search = Search(folder, space, days=DAYS, seed=0, p_prune=0.1)
    search.begin(given or {"x": 0.5, "kind": "a"}, fingerprint)
    return search


def objective(values, on_day, number):
    """The metric of a day is x, and .001 more each day."""
    for day in range(DAYS):
        on_day(values["x"] + day / 1_000)


def test_the_first_trial_is_what_was_given(tmp_path):
    search = search_in(tmp_path)
    search.run(objective, 1)
    (trial,) = search.trials
    assert trial.user_attrs["settings"] == {"x": 0.5, "kind": "a"}
    assert trial.value == pytest.approx(0.5 + 0.0035)


def test_a_given_value_outside_the_space_is_drawn(tmp_path):
    search = search_in(tmp_path, {"x": 7.0, "kind": "b"})
    search.run(objective, 1)
    assert search.trials[0].params["kind"] == "b" and 0 <= search.trials[0].params["x"] <= 1


def test_the_search_goes_to_where_the_metric_is_high_and_gives_up_what_is_worse(tmp_path):
    search = search_in(tmp_path)
    search.run(objective, 25)
    states = [trial.state for trial in search.trials]
    assert search.best.params["x"] > 0.9 and search.best.state == TrialState.COMPLETE
    pruned = [trial for trial in search.trials if trial.state == TrialState.PRUNED]
    assert pruned and states.count(TrialState.COMPLETE) + len(pruned) == 25
    # No trial that is better on every day is given up, and none on its last day.
    assert all(2 <= trial.user_attrs["days"] < DAYS for trial in pruned)


def test_a_study_goes_on_where_it_was(tmp_path):
    search_in(tmp_path).run(objective, 3)
    search_in(tmp_path).run(objective, 5)
    again = search_in(tmp_path)
    again.run(objective, 5)
    assert [trial.number for trial in again.trials] == [0, 1, 2, 3, 4]


def test_a_study_of_other_settings_is_refused(tmp_path):
    search_in(tmp_path)
    with pytest.raises(InputError, match="begun with other settings"):
        search_in(tmp_path, fingerprint="other")


def test_what_a_killed_process_began_is_begun_anew(tmp_path, monkeypatch):
    class Killed(BaseException):
        pass

    def killed(values, on_day, number):
        on_day(0.1)
        raise Killed

    search = search_in(tmp_path)
    with pytest.raises(Killed):
        search.run(killed, 1)
    # As long as it may be alive, it is left alone.
    monkeypatch.setattr(study, "_is_gone", lambda process: False)
    other = search_in(tmp_path)
    other.run(objective, 1)
    assert other.is_running and len(other.trials) == 1
    monkeypatch.undo()
    again = search_in(tmp_path)
    again.run(objective, 1)
    first, second = again.trials
    assert first.state == TrialState.FAIL and second.params == first.params and second.state == TrialState.COMPLETE


def test_a_process_that_is_gone_is_known(tmp_path):
    import subprocess

    done = subprocess.Popen(["true"])
    done.wait()
    here = study._this_process()["host"]
    assert study._is_gone({"pid": done.pid, "host": here})
    assert not study._is_gone({"pid": 1, "host": here})
    assert not study._is_gone({"pid": done.pid, "host": "elsewhere"})


def test_two_searches_share_the_trials(tmp_path):
    first, second = search_in(tmp_path), search_in(tmp_path)
    first.run(objective, 2)
    second.run(objective, 4)
    first.run(objective, 4)
    assert len(first.trials) == 4


def test_settings_that_cannot_be_trained_are_noted_and_not_the_end(tmp_path):
    def sometimes(values, on_day, number):
        if number == 1:
            raise DivergedError("the loss is not a number")
        objective(values, on_day, number)

    search = search_in(tmp_path)
    search.run(sometimes, 3)
    assert search.trials[1].state == TrialState.FAIL
    assert search.trials[1].user_attrs["note"] == "the loss is not a number"
    assert len(search.trials) == 4


def test_given_settings_that_cannot_be_trained_end_the_search_and_are_tried_first_again(tmp_path):
    def never(values, on_day, number):
        raise InputError("no such file")

    with pytest.raises(InputError, match="no such file"):
        search_in(tmp_path).run(never, 10)
    mended = search_in(tmp_path)
    mended.run(objective, 1)
    assert mended.best.params == {"x": 0.5, "kind": "a"}


def test_failures_one_after_the_other_end_the_search(tmp_path):
    def broken(values, on_day, number):
        if number > 1:
            raise InputError("the disk is full")
        objective(values, on_day, number)

    search = search_in(tmp_path)
    with pytest.raises(InputError, match="5 trials failed one after the other"):
        search.run(broken, 10)
    assert len(search.trials) == 7


def test_a_best_trial_needs_one_that_ran_to_its_end(tmp_path):
    with pytest.raises(InputError, match="no trial has run all its days"):
        _ = search_in(tmp_path).best
