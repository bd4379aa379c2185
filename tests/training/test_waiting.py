"""A training step never waits for the device: shown on one that has no answers, and by counting looks at numbers."""

import sys
from collections import Counter
from contextlib import nullcontext

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import TrainingArguments

from transformers4recsys.model.objectives import fused
from transformers4recsys.model.objectives.catalogue import CatalogObjective
from transformers4recsys.model.targets import MaskedTargets
from transformers4recsys.training.evaluation import Evaluation
from transformers4recsys.training.finite import FiniteWatch
from transformers4recsys.training.trainer import RecSysTrainer, Schedule

SESSIONS = [[3, 7, 2, 9], [4, 1], [5], [8, 6, 2]]
# What asks a device for a number, or for a size that only it knows.
LOOKS = {"_local_scalar_dense", "nonzero", "masked_select", "_unique2", "unique_dim", "repeat_interleave", "equal"}
ON_THE_CPU = {
    *("from_lists", "without_last", "forward", "real_places", "pack", "numbers"),  # the host's copy of a batch
    *("of", "backward", "clip_gradients"),  # of the loss and of all gradients, which ask on no other device
}


@pytest.fixture(params=["gpt2", "sasrec", "gru", "bert", "xlnet"])
def model(request, schema, make_model):
    model = make_model(schema, request.param)
    model.objective = CatalogObjective(fused.fastest_cross_entropy)
    return model


@pytest.fixture(params=["causal", "masked"])
def trained(request, model):
    if request.param == "masked":
        model.training_targets, model.masked_item = MaskedTargets(), torch.nn.Parameter(torch.zeros(16))
    return model.train()


def test_a_step_needs_no_answer_of_the_device(trained, make_batch, monkeypatch):
    """Tensors on `meta` have a shape and no values: whoever asks for one, or for a size that depends on it, fails."""
    # Autocast alone does not know that device.
    monkeypatch.setattr(torch, "is_autocast_enabled", lambda device: False)
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())
    model, batch = trained.to("meta"), make_batch(SESSIONS).to("meta")
    optimizer = torch.optim.AdamW(model.parameters())
    watch = FiniteWatch(torch.device("meta"), advice="")
    for step in (1, 2):
        loss = model(batch).loss
        loss.backward()
        watch.see(step, loss.detach(), torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0))
        optimizer.step()
        optimizer.zero_grad()
    assert loss.device.type == "meta"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
@pytest.mark.gpu
def test_a_step_does_not_wait_for_a_gpu(trained, make_batch):
    model, host = trained.to("cuda"), make_batch(SESSIONS)
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    for mode in ("default", "error"):  # the first step sets up the libraries
        torch.cuda.set_sync_debug_mode(mode)
        try:
            model(host.to("cuda")).loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
        finally:
            torch.cuda.set_sync_debug_mode("default")


def test_encoding_for_evaluation_needs_no_answer_of_the_device(model, make_batch):
    with torch.no_grad():
        output = model.eval().to("meta")(make_batch(SESSIONS).to("meta"))
    assert output.hidden.shape == (6, 16) and output.labels.shape == (6,) and output.positions.shape == (6, 2)


class Looks(TorchDispatchMode):
    """Counts looks at numbers by the function that asks: one of ours or, where none is behind it, of the library."""

    def __init__(self):
        super().__init__()
        self.by = Counter()

    def __torch_dispatch__(self, operation, types, arguments=(), keywords=None):
        name = operation.overloadpacket.__name__
        is_mask = name == "index" and any(index is not None and index.dtype == torch.bool for index in arguments[1])
        if is_mask or name in LOOKS:
            self.by[asker()] += 1
        return operation(*arguments, **(keywords or {}))

    def elsewhere(self):
        """Leave out what asks on the CPU alone: what a batch was collated there for, and shortcuts of its own."""
        return {asker: number for asker, number in self.by.items() if asker not in ON_THE_CPU}


def asker():
    """Name the innermost function of ours, else of the library, that is being run."""
    frame, of_library = sys._getframe(2), None
    while frame:
        module, name = frame.f_globals.get("__name__", ""), frame.f_code.co_name
        if module.startswith("transformers4recsys."):
            return name
        of_library = of_library or (name if module.startswith("transformers.") else None)
        frame = frame.f_back
    return of_library


class SixBatches:
    """A reader of the same batch, six times."""

    num_steps = 6

    def __init__(self, batch):
        self.batch = batch

    def __len__(self):
        return self.num_steps

    def batches(self, epoch):
        return (self.batch for _ in range(self.num_steps))


@pytest.fixture
def trainer(schema, make_model, make_batch, tmp_path):
    model = make_model(schema, "gpt2").train()
    model.objective = CatalogObjective(fused.fastest_cross_entropy)
    model.observe([make_batch(SESSIONS)])
    settings = {"save_strategy": "no", "use_cpu": True, "report_to": "none", "logging_nan_inf_filter": False}
    arguments = TrainingArguments(str(tmp_path), num_train_epochs=1, logging_steps=3, **settings)
    trainer = RecSysTrainer(model, arguments, schedule=Schedule(), evaluation=Evaluation(), callbacks=[])
    # As on a GPU; on a CPU each step is looked at.
    trainer.watch.looks_at_once = False
    trainer.train_reader = SixBatches(make_batch(SESSIONS))
    return trainer


def test_the_trainer_looks_at_numbers_where_it_logs_and_at_the_end(trainer):
    with Looks() as looks:
        trainer.train()
    # Two logs, of the loss and of the norm of the gradients.
    assert looks.elsewhere() == {"_maybe_log_save_evaluate": 4, "_finalize_training": 1}


def test_evaluation_looks_twice_at_each_block_of_rows_and_once_at_the_end(trainer, make_batch):
    reader = SixBatches(make_batch(SESSIONS))
    with Looks() as looks:
        trainer.measure(reader, split="eval", description="")
    # Whether the labels' scores came out as those of the blocks, and whether all of them are numbers.
    assert looks.elsewhere() == {"_rank_rows": 2 * len(reader), "num_targets": 1}
