from transformers4recsys.preprocessing.engines import protocol as engine


def test_a_folder_stands_for_its_parts_in_their_order(tmp_path):
    (tmp_path / "b").mkdir()
    for name in ("b/part-2.parquet", "b/part-1.parquet", "b/_SUCCESS", "a.parquet"):
        (tmp_path / name).touch()
    found = engine.parts([str(tmp_path / "b"), str(tmp_path / "a.parquet"), "s3://bucket/c.parquet"])
    names = ["b/part-1.parquet", "b/part-2.parquet", "a.parquet"]
    assert found == [*(str(tmp_path / name) for name in names), "s3://bucket/c.parquet"]
