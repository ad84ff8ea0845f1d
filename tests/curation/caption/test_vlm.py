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


def stage(model, **more) -> VlmCaption:
    return VlmCaption(**{"model": str(model), "frames": 2, "max_tokens": 8, **more})


def texts(made) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for caption in made.captions:
        found.setdefault(caption.clip_id, []).append(caption.text)
    return found


@pytest.fixture(scope="module")
def alone(llava, clips) -> dict[str, list[str]]:
    work = stage(llava, window_s=1.0).setup()
    found = {}
    for clip in clips:
        found |= texts(work(batch_of(clip)))
    return found


def test_company_changes_nothing(llava, clips, alone):
    made = stage(llava, window_s=1.0, batch=3).setup()(batch_of(*clips))
    assert texts(made) == alone
    assert len({text for each in alone.values() for text in each}) > 1
    assert [(c.window, c.start_frame, c.end_frame) for c in made.captions[:2]] == [
        (0, 100, 124), (1, 124, 148),
    ]  # fmt: skip
    assert [(c.outcome, c.windows, c.requests) for c in made.clips] == [("captioned", 2, 2)] * 4
    assert all(caption.tokens_out == 8 for caption in made.captions)


def test_questions_are_answered_with_a_certainty(llava, clips):
    asked = {"people": "Is a person seen?", "text": "Is there writing?"}
    made = stage(llava, questions=asked).setup()(batch_of(*clips[:2]))
    for caption, clip in zip(made.captions, made.clips, strict=True):
        answers = json.loads(caption.answers)
        assert answers.keys() == asked.keys()
        assert all(0 < sure < 1 for sure in answers.values())
        assert answers["people"] != answers["text"]
        assert clip.requests == 3
    plain = stage(llava).setup()(batch_of(clips[0]))
    assert plain.captions[0].text == made.captions[0].text
    assert made.captions[0].tokens_in > plain.captions[0].tokens_in


def test_captions_are_written_anew(llama):
    clips = [CaptionClip(n, "s", 0, 48, 2.0, captions=(f"A {n}.",)) for n in ("dog", "cat")]
    made = stage(llama, rewrite="facts-1", batch=2).setup()(batch_of(*clips))
    assert [(c.clip_id, c.outcome) for c in made.clips] == [
        ("dog", "captioned"), ("cat", "captioned"),
    ]  # fmt: skip
    assert texts(made)["dog"] != texts(made)["cat"]


def test_a_clip_that_cannot_be_read_fails_alone(llava, clips, gone, alone):
    made = stage(llava, window_s=1.0, batch=4).setup()(batch_of(clips[0], gone, clips[1]))
    assert {c.clip_id: c.reason for c in made.clips} == {"c0": None, "gone": "missing", "c1": None}
    assert texts(made) == {name: alone[name] for name in ("c0", "c1")}


def test_a_clip_that_brings_the_model_down_fails_alone(llava, clips, monkeypatch, alone):
    say = VisionLanguageModel.say

    def falls(self, asked, max_tokens):
        if any(np.mean(each.pictures) > 200 for each in asked):
            raise RuntimeError("too bright")
        return say(self, asked, max_tokens)

    monkeypatch.setattr(VisionLanguageModel, "say", falls)
    made = stage(llava, window_s=1.0, batch=8).setup()(batch_of(*clips))
    assert {c.clip_id: c.reason for c in made.clips} == dict.fromkeys(("c0", "c1", "c2")) | {
        "c3": "internal"
    }
    assert "RuntimeError: too bright" in made.clips[3].detail
    assert texts(made) == {name: alone[name] for name in ("c0", "c1", "c2")}


def test_a_model_without_words_gives_no_caption(llava, clips, monkeypatch):
    monkeypatch.setattr("curation.caption.vlm.cleaned", lambda *_, **__: "")
    made = stage(llava).setup()(batch_of(clips[0]))
    assert [(c.reason, c.windows) for c in made.clips] == [("no_caption", None)]
    assert made.captions == []


def test_a_full_device_stops_the_run(llava, clips, monkeypatch):
    def full(*_):
        raise InfrastructureError("the device ran out of memory")

    monkeypatch.setattr(VisionLanguageModel, "say", full)
    with pytest.raises(InfrastructureError, match="ran out of memory"):
        stage(llava).setup()(batch_of(clips[0]))


def test_the_table_is_named_by_the_files(llava, tmp_path):
    catalog = Catalog(Storage.at(tmp_path))
    name = stage(llava).table(catalog)
    assert name.startswith(f"{llava.name}-")
    moved = tmp_path / llava.name
    moved.symlink_to(llava)
    same = [{"device": "cuda"}, {"batch": 4}, {"gpus": 0.5}, {"memory_mb": 9}, {"model": moved}]
    assert {stage(**{"model": llava, **each}).table(catalog) for each in same} == {name}
    assert stage(llava, precision="bf16").table(catalog) != name
    assert stage(llava, frames=3).table(catalog) != name
    identity = stage(llava).identity()
    assert (identity.model, identity.model_digest) == (str(llava), model_digest(str(llava)))


def test_what_it_needs(llava):
    assert (stage(llava).needs.gpus, stage(llava, device="cuda", gpus=0.5).needs.gpus) == (0, 0.5)
    assert stage(llava, memory_mb=99).needs.memory_mb == 99
    for settings, words in (({"device": "abacus"}, "neither cpu nor cuda"), ({"batch": 0}, "0")):
        with pytest.raises(ValueError, match=words):
            stage(llava, **settings)
