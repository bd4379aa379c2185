import asyncio
import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from transformers4recsys.serving.model_source import ModelSource


@pytest.fixture
def manifest(tmp_path):
    path = tmp_path / "manifest.json"
    path.write_text("monday")
    return path


def put_in_place(manifest, text):
    aside = manifest.with_name("aside")
    aside.write_text(text)
    os.replace(aside, manifest)


def test_a_new_manifest_is_taken_over_once(manifest):
    source = ModelSource(manifest, manifest.read_text)

    assert not source.take_over()
    put_in_place(manifest, "tuesday")
    assert source.take_over()
    assert source.current == "tuesday"
    assert not source.take_over()


def test_a_folder_that_cannot_be_loaded_leaves_the_model_and_is_tried_again(manifest):
    def load():
        text = manifest.read_text()
        if text == "broken":
            raise ValueError("damaged")
        return text

    source = ModelSource(manifest, load)
    put_in_place(manifest, "broken")

    assert not source.take_over()
    assert source.current == "monday"
    put_in_place(manifest, "tuesday")
    assert source.take_over()


def test_a_manifest_that_is_not_there_for_a_moment_changes_nothing(manifest):
    source = ModelSource(manifest, lambda: "monday")
    manifest.unlink()

    assert not source.take_over()


def test_watching_tells_of_each_change(manifest):
    source = ModelSource(manifest, manifest.read_text)
    seen, days = [], iter(["tuesday", "wednesday"])

    async def wait(seconds):
        day = next(days, None)
        if day is None:
            raise asyncio.CancelledError
        put_in_place(manifest, day)

    async def watch():
        with ThreadPoolExecutor(1) as executor, pytest.raises(asyncio.CancelledError):
            await source.watch(executor, 5, on_change=lambda: seen.append(source.current), wait=wait)

    asyncio.run(watch())

    assert seen == ["tuesday", "wednesday"]
