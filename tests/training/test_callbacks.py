"""One log over all days: steps go on, the logger opens and closes once."""

from types import SimpleNamespace

from transformers import TrainerCallback, TrainerControl, TrainerState

from transformers4recsys.training.callbacks import ContinuousLog, ValidateEvery


class Spy(TrainerCallback):
    def __init__(self):
        self.heard = []

    def on_train_begin(self, args, state, control, **others):
        self.heard.append("open")

    def on_log(self, args, state, control, logs=None, **others):
        self.heard.append((state.global_step, logs["loss"]))

    def on_train_end(self, args, state, control, **others):
        self.heard.append("close")


def train_one_day(log, num_steps):
    state, control = TrainerState(), TrainerControl()
    log.on_train_begin(None, state, control)
    for step in range(1, num_steps + 1):
        state.global_step = step
        log.on_step_end(None, state, control)
    log.on_log(None, state, control, logs={"loss": num_steps})
    log.on_train_end(None, state, control)


def test_steps_go_on_from_day_to_day():
    spy = Spy()
    log = ContinuousLog(spy, first_step=100)
    train_one_day(log, 7)
    train_one_day(log, 5)
    log.close(None, TrainerState(), TrainerControl())
    assert spy.heard == ["open", (107, 7), (112, 5), "close"]


def test_a_logger_that_never_opened_is_not_closed():
    spy = Spy()
    ContinuousLog(spy).close(None, TrainerState(), TrainerControl())
    assert spy.heard == []


def test_validation_comes_after_the_last_step_of_every_nth_epoch():
    asked = []
    for epoch in (0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0):
        control = TrainerControl()
        ValidateEvery(2).on_step_end(None, SimpleNamespace(epoch=epoch), control)
        asked.append(epoch if control.should_evaluate else None)
    assert asked == [None, None, None, 2.0, None, None, None, 4.0]
