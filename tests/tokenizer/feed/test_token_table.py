import dataclasses
import json
import pickle
from collections.abc import Container

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from curation import pins, records, subset
from curation.dataset import Dataset
from curation.lineage import RenderOrigin
from curation.records import Caption, CaptionedClip, Embedding, Render, Verdict
from tests.rows import MeasuredClip, add_run, add_source, make_clip
from tests.tokenizer.feed.tables import TABLE, add_shards, add_simple_shards, clip_id, token_row
from tokenizer.feed import (
    BadShardError,
    ClipQuery,
    SequenceWindow,
    TokenDataset,
    TokenFeed,
    TokenTable,
)
from tokenizer.feed.clip_query import committed_clips
from tokenizer.feed.errors import StateMismatchError
from tokenizer.feed.state import make_state, restore_cursor
from tokenizer.feed.steps import FeedCursor
from tokenizer.tokenize.shards import TokenWindow

SHAPE = (3, 2, 4)


def test_an_index_counts_what_the_shards_hold(tmp_path):
    add_simple_shards(tmp_path, clips=12, per_file=5)
    tokens = TokenTable(tmp_path)
    assert tokens.name == TABLE
    assert tokens.shapes == (SHAPE,)
    assert tokens.index.samples == tokens.index.rows == 24
    assert sorted(tokens.index.buckets[0].counts.tolist()) == [4, 5, 5, 5, 5]
    assert (tokens.channels, str(tokens.rate)) == (3, "8x8x8")
    assert [t.tolist() for t in tokens.statistics] == [[0.5, -1.0, 2.0], [1.0, 2.0, 0.5]]


def test_shapes_have_buckets_of_their_own(tmp_path):
    shapes = [(3, 2, 4), (5, 2, 4), (3, 4, 2)]
    rows = [token_row(clip, 0, shapes[clip % 3]) for clip in range(11)]
    add_shards(tmp_path, [rows[:7], rows[7:]], group_bytes=600)
    index = TokenTable(tmp_path).index
    assert [(b.shape, b.samples) for b in index.buckets] == [
        ((3, 2, 4), 4), ((3, 4, 2), 3), ((5, 2, 4), 4)
    ]  # fmt: skip
    cut = TokenTable(tmp_path, window=SequenceWindow(2)).index
    assert [(b.shape, b.samples) for b in cut.buckets] == [((2, 2, 4), 12), ((2, 4, 2), 3)]
    assert TokenTable(tmp_path, window=SequenceWindow(4)).index.short_rows == 7


def test_uncommitted_windows_are_left_out(tmp_path):
    dataset = add_simple_shards(tmp_path, clips=10)
    assert committed_clips(dataset, TABLE) is None
    rows = [token_row(clip, 0, SHAPE) for clip in range(100, 104)]
    add_shards(tmp_path, [rows], commit=False)
    assert sorted(committed_clips(dataset, TABLE).to_pylist()) == sorted(map(clip_id, range(10)))
    index = TokenTable(tmp_path).index
    assert (index.samples, index.excluded_rows, index.rows) == (20, 4, 24)


def test_a_selection_filters_clips(tmp_path):
    dataset = add_simple_shards(tmp_path, clips=6)
    verdicts = [
        Verdict("s1", clip_id(clip), "s", "kept" if clip % 2 else "filtered") for clip in range(6)
    ]
    dataset.catalog.append("selection", Verdict, records.to_table(Verdict, verdicts))
    index = TokenTable(tmp_path, clips=ClipQuery(selection="s1")).index
    assert (index.samples, index.excluded_rows) == (6, 6)
    with pytest.raises(ValueError, match="there is no selection 's2'; there are s1"):
        TokenTable(tmp_path, clips=ClipQuery(selection="s2"))


def add_selection(dataset: Dataset, name: str, keeps: Container[int], clips: int = 6) -> None:
    """A selection of the clips that `add_simple_shards` makes, asked for as the newest."""
    verdicts = [
        Verdict(name, clip_id(clip), "s", "kept" if clip in keeps else "filtered")
        for clip in range(clips)
    ]
    dataset.catalog.append("selection", Verdict, records.to_table(Verdict, verdicts))
    add_run(dataset, "select", name, started=name)


def fed_clip_ids(place: object, **asked: str) -> set[str]:
    """Clips that a feed of a place gives."""
    tokens = TokenTable(place, columns=["clip_id"], clips=ClipQuery(**asked))
    return {clip for batch in TokenFeed(tokens, batch_size=4) for clip in batch["clip_id"]}


def test_what_the_newest_selection_keeps_is_fed(tmp_path):
    dataset = add_simple_shards(tmp_path, clips=6)
    assert fed_clip_ids(tmp_path) == {clip_id(clip) for clip in range(6)}
    add_selection(dataset, "1a", {1, 3, 5})
    add_selection(dataset, "2b", {1, 2})
    newest = {clip_id(1), clip_id(2)}
    assert fed_clip_ids(tmp_path) == fed_clip_ids(tmp_path, selection="latest") == newest
    assert fed_clip_ids(tmp_path, selection="1a") == {clip_id(clip) for clip in (1, 3, 5)}
    assert fed_clip_ids(tmp_path, selection="all") == {clip_id(clip) for clip in range(6)}
    hits = pa.table({"clip_id": [clip_id(4)], "source_id": ["s"], "score": [1.0]})
    subset.export_subset(dataset.catalog, "mine", hits, {}, "1")
    assert fed_clip_ids(tmp_path, selection="mine") == {clip_id(4)}
    assert len(TokenDataset(tmp_path)) == 4
    assert len(TokenDataset(tmp_path, selection="all")) == 12
    assert TokenFeed(tmp_path, batch_size=4).tables[0].index.samples == 4
    assert TokenFeed(tmp_path, batch_size=4, selection="1a").tables[0].index.samples == 6


def test_a_state_resumes_under_its_own_selection_only(tmp_path):
    dataset = add_simple_shards(tmp_path, clips=6)
    add_selection(dataset, "1a", {1, 3, 5})
    feed = TokenFeed(tmp_path, batch_size=2)
    state = feed.state(next(iter(feed)))
    assert state["feed"]["selection"] == "1a"
    TokenFeed(tmp_path, batch_size=2, selection="1a").load_state(state)
    add_selection(dataset, "2b", {1, 2})
    words = r"selection: 1a in the state, 2b here.*open it with ClipQuery\(selection='1a'\)"
    with pytest.raises(StateMismatchError, match=words):
        TokenFeed(tmp_path, batch_size=2).load_state(state)
    with pytest.raises(StateMismatchError, match="selection: 1a in the state, all here"):
        TokenFeed(tmp_path, batch_size=2, selection="all").load_state(state)
    held = TokenFeed(TokenTable(tmp_path, versions=state["versions"]), batch_size=2)
    held.load_state(state)
    assert held.tables[0].selection == "1a"


def test_the_tokens_of_the_newest_renders_are_fed_or_none(tmp_path):
    tables = [("tokens/a-1", "encode-1"), ("tokens/b-1", "encode-1"), ("tokens/c-1", "encode-2")]
    for at, (table, profile) in enumerate(tables):
        origins = {clip_id(at): RenderOrigin(profile)}
        dataset = add_shards(tmp_path, [[token_row(at, 0, SHAPE)]], table=table, made_from=origins)
        add_run(dataset, "tokenize", table.replace("tokens", "tokenized"), started=str(at))
    for at, profile in enumerate(("encode-2", "encode-1")):
        add_run(dataset, "render", f"renders/{profile}", started=str(at))
    tokens = TokenTable(tmp_path)
    assert tokens.name == "tokens/b-1"
    add_run(dataset, "render", "renders/encode-2", started="2")
    assert TokenTable(tmp_path).name == "tokens/c-1"
    assert TokenTable(tmp_path, versions=tokens.versions).name == "tokens/b-1"
    add_run(dataset, "render", "renders/encode-3", started="3")
    words = "no tokens of renders/encode-3, its newest renders, only tokens/c-1 of encode-2, tokens"
    with pytest.raises(ValueError, match=words):
        TokenTable(tmp_path)
    assert TokenTable(tmp_path, "a-1").name == "tokens/a-1"


def test_tokens_of_a_changed_render_are_refused(tmp_path):
    origins = {clip_id(n): RenderOrigin("encode-1", "a" * 64, 17, 24.0) for n in range(2)}
    rows = [token_row(clip, 0, SHAPE) for clip in range(2)]
    dataset = add_shards(tmp_path, [rows], made_from=origins)
    for clip, frames in enumerate((17, 36)):
        row = Render(clip_id(clip), "s", "rendered", sha256="a" * 64, frames=frames, fps=24.0)
        dataset.catalog.append("renders/encode-1", Render, records.to_table(Render, [row]))
    words = f"clip {clip_id(1)} has 17 frames .* its render has 36 frames"
    with pytest.raises(ValueError, match=words):
        TokenTable(tmp_path)
    add_selection(dataset, "1a", {0})
    assert TokenTable(tmp_path).index.samples == 1


def test_captions_of_other_renders_are_refused(tmp_path):
    dataset = add_shards(
        tmp_path, [[token_row(0, 0, SHAPE)]], made_from={clip_id(0): RenderOrigin("encode-2")}
    )
    caption = Caption(clip_id(0), "s", "a face")
    done = CaptionedClip(clip_id(0), "s", "captioned", windows=1, render_profile="encode-1")
    dataset.catalog.append("captions/vlm-1", Caption, records.to_table(Caption, [caption]))
    dataset.catalog.append(
        "captioned/vlm-1", CaptionedClip, records.to_table(CaptionedClip, [done])
    )
    words = "tokens/test-1 of encode-2 and captions/vlm-1 of encode-1 were made from different"
    with pytest.raises(ValueError, match=words):
        TokenTable(tmp_path, clips=ClipQuery(captions="captions/vlm-1"))


@pytest.fixture
def curated(tmp_path):
    """Six clips with scores, their tokens, captions of all but one, and embeddings."""
    clips = [make_clip("source1", at * 24, at * 24 + 24) for at in range(6)]
    looks = [
        MeasuredClip(clip, np.full(2, at), scores={"motion": at / 10})
        for at, clip in enumerate(clips)
    ]
    dataset = Dataset(tmp_path)
    add_source(dataset, "a.mp4", looks)
    rows = [token_row(at, 0, SHAPE, clip_id=clip.clip_id) for at, clip in enumerate(clips)]
    add_shards(tmp_path, [rows])
    captions = [Caption(clip.clip_id, "source1", f"clip {at}") for at, clip in enumerate(clips[:5])]
    dataset.catalog.append("captions/facts", Caption, records.to_table(Caption, captions))
    embeddings = [
        Embedding(clip.clip_id, "source1", 2, np.array([at, 1], "<f2").tobytes())
        for at, clip in enumerate(clips)
    ]
    dataset.catalog.append("embeddings/test", Embedding, records.to_table(Embedding, embeddings))
    return tmp_path, clips


def test_a_condition_on_scores_filters_clips(curated):
    place, _ = curated
    where = ClipQuery(where="motion >= 0.2 and width = 640 and duration_s = 1 and short_side = 360")
    assert TokenTable(place, clips=where).index.samples == 4
    with pytest.raises(ValueError, match=r"(?s)where .*moton > 1.*moton"):
        TokenTable(place, clips=ClipQuery(where="moton > 1"))
    with pytest.raises(ValueError, match="no samples: of 6 rows 6 are left out and 0 too short"):
        TokenTable(place, clips=ClipQuery(where="motion > 9"))


def test_clips_without_a_caption_are_an_error_by_default(curated):
    place, _ = curated
    with pytest.raises(ValueError, match="1 rows belong to clips that captions/facts does not hav"):
        TokenTable(place, clips=ClipQuery(captions="captions/facts"))
    for missing, samples in (("drop", 5), ("null", 6)):
        choice = ClipQuery(captions="captions/facts", missing=missing)
        assert TokenTable(place, clips=choice).index.samples == samples
    with pytest.raises(ValueError, match="captions/x is empty; there are captions/fac"):
        TokenTable(place, clips=ClipQuery(captions="captions/x"))


def test_versions_pin_every_table(curated):
    place, clips = curated
    choice = ClipQuery(captions="captions/facts", missing="drop", where="motion >= 0")
    tokens = TokenTable(place, clips=choice)
    dataset = add_shards(place, [[token_row(7, 1, SHAPE, clip_id=clips[2].clip_id)]])
    late = [Caption(clips[5].clip_id, "source1", "late")]
    dataset.catalog.append("captions/facts", Caption, records.to_table(Caption, late))
    assert TokenTable(place, clips=choice).index.samples == 7
    again = TokenTable(place, clips=choice, versions=tokens.versions)
    assert again.index.samples == 5
    assert again.versions == tokens.versions
    assert again.fingerprint() == tokens.fingerprint()
    assert (
        tokens.versions["captions/facts"] + 1
        == TokenTable(place, clips=choice).versions["captions/facts"]
    )
    assert len(tokens.versions) > 8
    state = make_state(FeedCursor(0, 3), tokens.fingerprint(), tokens.versions)
    assert len(json.dumps(state)) <= 1024
    with pytest.raises(
        StateMismatchError, match=r"samples: 5 in the state, 7 here; version: \d+ in"
    ):
        restore_cursor(state, TokenTable(place, clips=choice).fingerprint())
    with pytest.raises(ValueError, match=f"{TABLE} of .* has no version 99; the newest is "):
        TokenTable(place, versions={TABLE: 99})


@pytest.mark.parametrize(
    "change",
    [
        {"columns": ["codes", "fps"]},
        {"window": SequenceWindow(2)},
        {"clips": ClipQuery(where="motion > 0.2")},
        {"clips": ClipQuery(clip_columns=("motion",))},
        {"normalised": False},
    ],
)
def test_another_configuration_is_another_feed(curated, change):
    place, _ = curated
    assert TokenTable(place, **change).fingerprint() != TokenTable(place).fingerprint()


def test_a_fingerprint_never_changes(tmp_path):
    """Saved states contain it."""
    add_simple_shards(tmp_path, clips=4)
    default = TokenTable(tmp_path).fingerprint()
    assert {**default, "rows": "", "version": 0} == {
        "table": TABLE, "selection": "all", "version": 0, "rows": "", "samples": 8,
        "windows": "None/None/False", "columns": "ab5a2d01b419",
    }  # fmt: skip
    table = TokenTable(
        tmp_path, columns=["codes", "latents"], window=SequenceWindow(2, 1),
        clips=ClipQuery(missing="null"), normalised=False,
    )  # fmt: skip
    assert table.fingerprint()["columns"] == "996bfcff201f"
    assert table.fingerprint()["windows"] == "2/1/False"


def test_one_of_several_tables_has_to_be_named(tmp_path):
    with pytest.raises(ValueError, match="has no tokens: run `reelmill tokenize` first"):
        TokenTable(tmp_path)
    add_simple_shards(tmp_path, clips=2)
    add_shards(tmp_path, [[token_row(1, 0, SHAPE)]], table="tokens/other-2")
    with pytest.raises(ValueError, match="there are tokens/other-2, tokens/test-1"):
        TokenTable(tmp_path)
    assert TokenTable(tmp_path, "other-2").index.samples == 1
    assert TokenTable(tmp_path, "tokens/other-2").index.samples == 1


@pytest.mark.parametrize("columns", ["codes", ["codes", "colour"]])
def test_unknown_columns_are_refused(tmp_path, columns):
    add_simple_shards(tmp_path, clips=2)
    with pytest.raises(ValueError, match=r"no columns of tokens: .*; there are codes, latents,"):
        TokenTable(tmp_path, columns=columns)


def test_heads_that_a_tokenizer_lacks_are_refused(tmp_path):
    row = token_row(0, 0, SHAPE, channels=0)
    add_shards(tmp_path, [[row]])
    with pytest.raises(ValueError, match="tokens/test-1 has no latents: its tokenizer is discrete"):
        TokenTable(tmp_path, columns=["latents"])
    assert TokenTable(tmp_path).index.samples == 1


def test_rows_that_were_committed_without_shard_metadata_are_read(tmp_path):
    """Their files are the Delta library's own, without the tokenizer's facts."""
    from curation.dataset import Dataset

    rows = [token_row(clip, 0, SHAPE) for clip in range(4)]
    table = records.to_table(TokenWindow, rows)
    Dataset(tmp_path).catalog.append(TABLE, TokenWindow, table)
    tokens = TokenTable(tmp_path)
    assert tokens.index.samples == 4
    with pytest.raises(ValueError, match="do not state the mean and deviation of their latents"):
        TokenTable(tmp_path, columns=["latents"])
    assert TokenTable(tmp_path, columns=["latents"], normalised=False).channels == 3
    assert pc.sum(table["channels"]).as_py() == 12


def test_shards_of_two_tokenizers_are_refused(tmp_path):
    rows = [token_row(0, 0, SHAPE), dataclasses.replace(token_row(1, 0, SHAPE), channels=5)]
    add_shards(tmp_path, [[row] for row in rows])
    with pytest.raises(BadShardError, match=r"has channels \d, other shards have \d"):
        TokenTable(tmp_path)


def test_a_missing_shard_is_named(tmp_path):
    add_simple_shards(tmp_path, clips=4)
    gone = next(tmp_path.joinpath(TABLE).glob("*.parquet"))
    gone.unlink()
    with pytest.raises(BadShardError, match=f"{gone.name} is missing, but the table lists it"):
        TokenTable(tmp_path)


def test_another_process_pins_the_versions_by_its_own_clock(tmp_path):
    add_simple_shards(tmp_path, clips=2)
    tokens = TokenTable(tmp_path)
    (pin,) = tmp_path.joinpath(pins.FOLDER).iterdir()
    pin.unlink()
    tokens.keep_versions()
    assert not pin.exists()
    pickle.loads(pickle.dumps(tokens)).keep_versions()
    assert pin.exists()
