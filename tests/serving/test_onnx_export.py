import pytest
import torch

from transformers4recsys.errors import InputError
from transformers4recsys.serving.graph import RecommendationGraph
from transformers4recsys.serving.onnx_export import compare, export_onnx, open_session, run

for library in ("onnx", "onnxscript", "onnxruntime"):
    pytest.importorskip(library, reason="the extra `onnx` is not installed")


def columns(num_sessions, length):
    generator = torch.Generator().manual_seed(num_sessions)
    lengths = torch.randint(1, length + 1, (num_sessions, 1), generator=generator)
    item_ids = torch.randint(1, 31, (num_sessions, length), generator=generator) * (torch.arange(length) < lengths)
    return {"item_id": item_ids, "category": item_ids % 4 + (item_ids > 0), "price": item_ids.float() / 10}


def excluded(num_sessions, *ids):
    return torch.tensor([list(ids) or [0]] * num_sessions)


@pytest.fixture(scope="module")
def exported(tmp_path_factory, request):
    return tmp_path_factory.mktemp("onnx") / "model.onnx"


def test_the_exported_graph_gives_the_lists_of_the_model_at_any_size(schema, make_model, exported):
    graph = RecommendationGraph(make_model(schema, "gpt2"), k=5)
    export_onnx(graph, columns(3, 4), exported, name="gpt2")

    sizes = [(1, 1), (7, 20), (64, 9)]
    batches = [(columns(*size), excluded(size[0], *range(1, number + 1))) for number, size in enumerate(sizes)]

    assert compare(exported, graph, batches) < 1e-5


def test_another_model_is_noticed(schema, make_model, exported):
    graph = RecommendationGraph(make_model(schema, "gpt2"), k=5)
    if not exported.exists():
        export_onnx(graph, columns(3, 4), exported, name="gpt2")
    other = RecommendationGraph(make_model(schema, "gpt2", n_layer=1), k=5)

    with pytest.raises(InputError, match="does not give what the model gives"):
        compare(exported, other, [(columns(5, 6), excluded(5))])


def test_excluded_items_are_left_out(schema, make_model, exported):
    graph = RecommendationGraph(make_model(schema, "gpt2"), k=5)
    if not exported.exists():
        export_onnx(graph, columns(3, 4), exported, name="gpt2")
    session = open_session(exported, threads=1)
    best, _ = run(session, columns(1, 6), excluded(1))

    without, _ = run(session, columns(1, 6), torch.from_numpy(best[:, :2].copy()))

    assert list(without[0, :3]) == list(best[0, 2:])


def test_an_encoder_that_cannot_be_exported_is_named(schema, make_model, tmp_path):
    graph = RecommendationGraph(make_model(schema, "gru"), k=5)

    class Untraceable(torch.nn.Module):
        def forward(self, inputs_BLD, padding_mask_BL):
            if inputs_BLD.sum() > float(inputs_BLD[0, 0, 0]):
                return None
            raise RuntimeError("no graph")

    graph.session.encoder = Untraceable()
    with pytest.raises(InputError, match="`model_type` odd cannot be exported to ONNX"):
        export_onnx(graph, columns(3, 4), tmp_path / "odd.onnx", name="odd")
    assert not (tmp_path / "odd.onnx").exists()
