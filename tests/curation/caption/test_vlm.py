"""Captions by a tiny model that is loaded as any other."""

import json

import numpy as np
import pytest

from curation.caption.base import CaptionClip
from curation.caption.vlm import VlmCaption
from curation.caption.vlm_model import VisionLanguageModel, model_digest
from curation.catalog import Catalog
from curation.errors import InfrastructureError
from curation.storage import Storage
from tests.curation.caption.clips import batch_of


def stage(model, **overrides) -> VlmCaption:
    return VlmCaption(**{"model": str(model), "frames": 2, "max_tokens": 8, **overrides})


def texts(result) -> dict[str, list[str]]:
    texts_by_clip: dict[str, list[str]] = {}
    for caption in result.captions:
        texts_by_clip.setdefault(caption.clip_id, []).append(caption.text)
    return texts_by_clip


@pytest.fixture(scope="module")
def alone(llava, clips) -> dict[str, list[str]]:
    work = stage(llava, window_s=1.0).setup()
    captions = {}
    for clip in clips:
        captions |= texts(work(batch_of(clip)))
    return captions


def test_captions_are_independent_of_batch_composition(llava, clips, alone):
    result = stage(llava, window_s=1.0, batch=3).setup()(batch_of(*clips))
    assert texts(result) == alone
    assert len({text for captions in alone.values() for text in captions}) > 1
    assert [(c.window, c.start_frame, c.end_frame) for c in result.captions[:2]] == [
        (0, 100, 124), (1, 124, 148),
    ]  # fmt: skip
    assert [(c.outcome, c.windows, c.requests) for c in result.clips] == [("captioned", 2, 2)] * 4
    assert all(caption.tokens_out == 8 for caption in result.captions)


def test_questions_are_answered_with_a_confidence(llava, clips):
    questions = {"people": "Is a person seen?", "text": "Is there writing?"}
    result = stage(llava, questions=questions).setup()(batch_of(*clips[:2]))
    for caption, clip in zip(result.captions, result.clips, strict=True):
        answers = json.loads(caption.answers)
        assert answers.keys() == questions.keys()
        assert all(0 < confidence < 1 for confidence in answers.values())
        assert answers["people"] != answers["text"]
        assert clip.requests == 3
    plain = stage(llava).setup()(batch_of(clips[0]))
    assert plain.captions[0].text == result.captions[0].text
    assert result.captions[0].tokens_in > plain.captions[0].tokens_in


def test_captions_are_rewritten(llama):
    clips = [CaptionClip(n, "s", 0, 48, 2.0, captions=(f"A {n}.",)) for n in ("dog", "cat")]
    result = stage(llama, rewrite="facts-1", batch=2).setup()(batch_of(*clips))
    assert [(c.clip_id, c.outcome) for c in result.clips] == [
        ("dog", "captioned"), ("cat", "captioned"),
    ]  # fmt: skip
    assert texts(result)["dog"] != texts(result)["cat"]


def test_a_clip_that_cannot_be_read_fails_alone(llava, clips, missing_clip, alone):
    result = stage(llava, window_s=1.0, batch=4).setup()(batch_of(clips[0], missing_clip, clips[1]))
    assert {c.clip_id: c.reason for c in result.clips} == {
        "c0": None,
        "missing": "missing",
        "c1": None,
    }
    assert texts(result) == {name: alone[name] for name in ("c0", "c1")}


def test_a_clip_that_brings_the_model_down_fails_alone(llava, clips, monkeypatch, alone):
    generate = VisionLanguageModel.generate

    def generate_dark(self, prompts, max_tokens):
        if any(np.mean(prompt.images) > 200 for prompt in prompts):
            raise RuntimeError("too bright")
        return generate(self, prompts, max_tokens)

    monkeypatch.setattr(VisionLanguageModel, "generate", generate_dark)
    result = stage(llava, window_s=1.0, batch=8).setup()(batch_of(*clips))
    assert {c.clip_id: c.reason for c in result.clips} == dict.fromkeys(("c0", "c1", "c2")) | {
        "c3": "internal"
    }
    assert "RuntimeError: too bright" in result.clips[3].detail
    assert texts(result) == {name: alone[name] for name in ("c0", "c1", "c2")}


def test_an_empty_output_is_no_caption(llava, clips, monkeypatch):
    monkeypatch.setattr("curation.caption.vlm.clean_text", lambda *_, **__: "")
    result = stage(llava).setup()(batch_of(clips[0]))
    assert [(c.reason, c.windows) for c in result.clips] == [("no_caption", None)]
    assert result.captions == []


def test_a_full_device_stops_the_run(llava, clips, monkeypatch):
    def full(*_):
        raise InfrastructureError("the device ran out of memory")

    monkeypatch.setattr(VisionLanguageModel, "generate", full)
    with pytest.raises(InfrastructureError, match="ran out of memory"):
        stage(llava).setup()(batch_of(clips[0]))


def test_the_table_is_named_by_the_models_files(llava, tmp_path):
    catalog = Catalog(Storage.at(tmp_path))
    name = stage(llava).table(catalog)
    assert name.startswith(f"{llava.name}-")
    moved = tmp_path / llava.name
    moved.symlink_to(llava)
    same = [{"device": "cuda"}, {"batch": 4}, {"gpus": 0.5}, {"memory_mb": 9}, {"model": moved}]
    assert {stage(**{"model": llava, **other}).table(catalog) for other in same} == {name}
    assert stage(llava, precision="bf16").table(catalog) != name
    assert stage(llava, frames=3).table(catalog) != name
    identity = stage(llava).identity()
    assert (identity.model, identity.model_digest) == (str(llava), model_digest(str(llava)))


def test_needs(llava):
    assert (stage(llava).resources.gpus, stage(llava, device="cuda", gpus=0.5).resources.gpus) == (
        0,
        0.5,
    )
    assert stage(llava, memory_mb=99).resources.memory_mb == 99
    for settings, words in (({"device": "abacus"}, "neither cpu nor cuda"), ({"batch": 0}, "0")):
        with pytest.raises(ValueError, match=words):
            stage(llava, **settings)
