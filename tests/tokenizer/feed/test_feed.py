import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.tokenizer.feed.tables import (
    add_shards,
    add_simple_shards,
    clip_id,
    codes_of,
    latents_of,
    token_row,
)
from tokenizer.feed import (
    ClipQuery,
    Consumer,
    Mixture,
    ReadOptions,
    SequenceWindow,
    Shuffle,
    StateMismatchError,
    TokenFeed,
    TokenTable,
)
from tokenizer.feed.shard_reader import ShardReader

ROOT = Path(__file__).parents[3]
SHAPE = (3, 2, 4)
CLIPS = {clip_id(clip): clip for clip in range(200)}
NAMES = ["codes", "clip_id", "window"]
SMALL = ReadOptions(threads=2, chunk_bytes=2000, prefetch_chunks=2, memory_bytes=4000)
"""Chunks of a few batches and memory for a few row groups, so that a small table meets the limits
that a large one does."""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    place = tmp_path_factory.mktemp("feed")
    add_simple_shards(place, clips=60)
    return place


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    """Three shapes, mixed in the row groups."""
    place = tmp_path_factory.mktemp("shapes")
    rows = [token_row(clip, 0, [(3, 2, 4), (5, 2, 4), (3, 4, 2)][clip % 3]) for clip in range(70)]
    add_shards(place, [rows[at : at + 20] for at in range(0, 70, 20)], group_bytes=1500)
    return place


def sample_keys(batch) -> list[tuple[int, int]]:
    """Clip and window of each sample, after a look at its codes."""
    result = [(CLIPS[c], int(w)) for c, w in zip(batch["clip_id"], batch["window"], strict=True)]
    for key, codes in zip(result, batch["codes"], strict=True):
        assert np.array_equal(codes, codes_of(*key, tuple(codes.shape)))
    return result


def test_every_sample_comes_once_an_epoch(place):
    feed = TokenFeed(TokenTable(place, columns=NAMES, read_options=SMALL), batch_size=16, epochs=2)
    batches = list(feed)
    result = [key for batch in batches for key in sample_keys(batch)]
    every = [(clip, window) for clip in range(60) for window in range(2)]
    assert sorted(result[:120]) == sorted(result[120:]) == every
    assert result[:120] != result[120:]
    assert [len(batch["codes"]) for batch in batches] == [*[16] * 7, 8] * 2
    assert batches[0]["codes"].dtype == torch.int64
    assert batches[0]["codes"].shape == (16, *SHAPE)
    assert [int(batch["epoch"][0]) for batch in batches] == [0] * 8 + [1] * 8
    assert [batch["cursor"] for batch in batches][6:9] == [(0, 112), (1, 0), (1, 16)]
    assert [p for batch in batches[:8] for p in batch["position"].tolist()] == list(range(120))


def test_a_path_is_enough(place):
    assert sum(len(batch["codes"]) for batch in TokenFeed(place, batch_size=50)) == 120


def test_the_order_depends_on_the_seed_and_not_on_read_options(place):
    def order(seed: int, reading: ReadOptions) -> list[tuple[int, int]]:
        tokens = TokenTable(place, columns=NAMES, read_options=reading)
        return [
            key
            for batch in TokenFeed(tokens, batch_size=7, seed=seed)
            for key in sample_keys(batch)
        ]

    assert order(1, SMALL) == order(1, ReadOptions(threads=8))
    assert order(1, SMALL) != order(2, SMALL)


def test_latents_are_normalised_or_not(place):
    tokens = TokenTable(place, columns=[*NAMES, "latents"])
    [batch] = TokenFeed(tokens, batch_size=120)
    raw = TokenTable(place, columns=["latents"], normalised=False)
    [unchanged] = TokenFeed(raw, batch_size=120)
    assert batch["latents"].dtype == torch.float32
    for at, key in enumerate(sample_keys(batch)):
        stored = latents_of(*key, SHAPE).astype(np.float32)
        assert np.array_equal(unchanged["latents"][at], stored)
        mean = np.array([0.5, -1.0, 2.0], np.float32)[:, None, None, None]
        std = np.array([1.0, 2.0, 0.5], np.float32)[:, None, None, None]
        assert np.allclose(batch["latents"][at], (stored - mean) / std, atol=1e-6)


def test_a_batch_has_the_requested_columns(place):
    tokens = TokenTable(place, columns=[*NAMES, "fps", "causal_first", "source_id", "start_s"])
    for batch in TokenFeed(tokens, batch_size=32):
        for at, (clip, window) in enumerate(sample_keys(batch)):
            assert float(batch["fps"][at]) == 24.0 + clip
            assert batch["source_id"][at] == f"source{clip // 10}"
            assert float(batch["start_s"][at]) == window * 0.5
        assert batch["causal_first"].dtype == torch.bool
        assert batch["fps"].dtype == torch.float64


def test_windows_have_their_start_and_their_context(tmp_path):
    slice_of_a_stream = token_row(1, 0, (5, 2, 4), causal_first=False, context_latents=4)
    rows = [token_row(0, 0, (8, 2, 4)), slice_of_a_stream, token_row(2, 0, (2, 2, 4))]
    add_shards(tmp_path, [rows])
    columns = ["codes", "latents", "clip_id"]
    tokens = TokenTable(
        tmp_path, columns=columns, window=SequenceWindow(3, stride=2), normalised=False
    )
    [batch] = TokenFeed(tokens, batch_size=9)
    result = {}
    for at, name in enumerate(batch["clip_id"]):
        clip, first = CLIPS[name], int(batch["first_latent"][at])
        shape = (rows[clip].latent_frames, 2, 4)
        window = slice(first, first + 3)
        assert np.array_equal(batch["codes"][at], codes_of(clip, 0, shape)[window])
        assert np.array_equal(batch["latents"][at], latents_of(clip, 0, shape)[:, window])
        names = ("is_causal_first", "first_frame", "context_latents")
        result[clip, first] = tuple(batch[n][at].item() for n in names)
    assert result == {
        (0, 0): (True, 0, 0), (0, 2): (False, 9, 2), (0, 4): (False, 25, 4),
        (1, 0): (False, 0, 4), (1, 2): (False, 16, 6),
    }  # fmt: skip


def test_each_batch_has_one_shape(shapes):
    tokens = TokenTable(shapes, columns=NAMES, read_options=SMALL)
    batches = list(TokenFeed(tokens, batch_size=4, seed=3))
    assert sorted(key for batch in batches for key in sample_keys(batch)) == [
        (c, 0) for c in range(70)
    ]
    turns = [tuple(batch["codes"].shape[1:]) for batch in batches]
    assert {turns.count(shape) for shape in tokens.shapes} == {6}
    assert turns != sorted(turns)


def test_a_batch_has_captions_embeddings_and_clip_columns(tmp_path):
    from curation import records
    from curation.dataset import Dataset
    from curation.records import Caption, Embedding
    from tests.rows import MeasuredClip, add_source, make_clip

    clips = [make_clip("source1", at * 24, at * 24 + 24) for at in range(9)]
    dataset = Dataset(tmp_path)
    looks = [MeasuredClip(clip, scores={"motion": at / 10}) for at, clip in enumerate(clips)]
    add_source(dataset, "a.mp4", looks)
    rows = [token_row(at, 0, SHAPE, clip_id=clip.clip_id) for at, clip in enumerate(clips)]
    add_shards(tmp_path, [rows])
    captions = [
        Caption(c.clip_id, "source1", f"clip {at}") for at, c in enumerate(clips) if at != 4
    ]
    dataset.catalog.append("captions/facts", Caption, records.to_table(Caption, captions[::-1]))
    embeddings = [
        Embedding(c.clip_id, "source1", 2, np.array([at, 1], "<f2").tobytes())
        for at, c in enumerate(clips)
    ]
    dataset.catalog.append("embeddings/test", Embedding, records.to_table(Embedding, embeddings))
    choice = ClipQuery(
        captions="captions/facts", embeddings="embeddings/test",
        clip_columns=("motion", "uri", "width"), missing="null",
    )  # fmt: skip
    tokens = TokenTable(
        tmp_path, columns=["codes", "clip_id"], window=SequenceWindow(3), clips=choice
    )
    ids = [clip.clip_id for clip in clips]
    some = next(iter(TokenFeed(tokens, batch_size=1, consumer=Consumer(0, 2))))
    none = next(iter(TokenFeed(tokens, batch_size=1, consumer=Consumer(1, 2))))
    some, none = sorted((some, none), key=lambda batch: -len(batch["codes"]))
    assert some.keys() == none.keys() >= {"caption", "embedding", "motion", "is_causal_first"}
    assert none["caption"] == []
    assert none["embedding"].shape == (0, 2)
    with pytest.raises(ValueError, match="need the same columns, captions and scores"):
        Mixture(
            [
                (tokens, 1),
                (TokenTable(tmp_path, columns=["codes", "clip_id"], window=SequenceWindow(3)), 1),
            ]
        )
    for batch in TokenFeed(tokens, batch_size=4):
        numbers = [ids.index(clip) for clip in batch["clip_id"]]
        expected_captions = [None if n == 4 else f"clip {n}" for n in numbers]
        assert batch["caption"] == expected_captions
        assert batch["embedding"].tolist() == [[n, 1] for n in numbers]
        assert batch["embedding"].dtype == torch.float32
        assert batch["motion"].tolist() == [n / 10 for n in numbers]
        assert batch["uri"] == ["a.mp4"] * len(numbers)
        assert batch["width"].tolist() == [640] * len(numbers)


RUNS = st.lists(
    st.tuples(st.integers(1, 4), st.sampled_from([1, 5, 16]), st.integers(0, 5)), max_size=2
)
FEW = settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def train_runs(tokens: TokenTable, runs, batch_size: int | None = None) -> list[tuple[int, int]]:
    """What runs of several consumers train on, each going on from the last one's state."""
    state, result = None, []
    for world, size, steps in [*runs, (1, 16, 10**9)]:
        feeds = [
            TokenFeed(
                tokens, batch_size=batch_size or size, seed=5, epochs=2,
                shuffle=Shuffle(4), consumer=Consumer(rank, world),
            )
            for rank in range(world)
        ]  # fmt: skip
        if state is not None:
            for feed in feeds:
                feed.load_state(json.loads(json.dumps(state)))
        state = feeds[0].state()
        for _, batches in zip(range(steps), zip(*feeds, strict=True), strict=False):
            states = [feed.state(b) for feed, b in zip(feeds, batches, strict=True)]
            assert all(s == states[0] for s in states)
            positions = [p for b in batches for p in b["position"].tolist()]
            keys = [key for b in batches for key in sample_keys(b)]
            result += [key for _, key in sorted(zip(positions, keys, strict=True))]
            state = states[0]
    return result


@pytest.mark.slow
@FEW
@given(RUNS)
def test_killed_and_resumed_runs_read_the_same_order(place, runs):
    tokens = TokenTable(place, columns=NAMES, read_options=SMALL)
    assert train_runs(tokens, runs) == train_runs(tokens, [])


@pytest.mark.slow
@FEW
@given(RUNS)
def test_killed_and_resumed_runs_read_the_same_order_of_several_shapes(shapes, runs):
    tokens = TokenTable(shapes, columns=NAMES, read_options=SMALL)
    assert train_runs(tokens, runs, batch_size=4) == train_runs(tokens, [], batch_size=4)


def test_a_consumer_without_samples_gets_an_empty_batch(place):
    """The last batch of 120 has one sample for 4 consumers; all of them get a step."""
    tokens = TokenTable(place, columns=[*NAMES, "latents"])
    feeds = [TokenFeed(tokens, batch_size=17, consumer=Consumer(r, 4)) for r in range(4)]
    last = [list(feed)[-1] for feed in feeds]
    assert sorted(len(batch["codes"]) for batch in last) == [0, 0, 0, 1]
    for batch in last:
        assert batch["codes"].shape[1:] == SHAPE
        assert batch["latents"].shape[1:] == (3, *SHAPE)
        assert len(batch["clip_id"]) == len(batch["codes"])


@pytest.mark.slow
@pytest.mark.parametrize("world", [1, 2, 4])
def test_consumers_divide_the_reading(tmp_path, monkeypatch, world):
    """Each row group is read by one of them, but for those at the borders of streams."""
    rows = [token_row(clip, 0, SHAPE) for clip in range(200)] * 3
    add_shards(tmp_path, [rows[at : at + 60] for at in range(0, 600, 60)], group_bytes=2000)
    tokens = TokenTable(tmp_path)
    groups = sum(len(bucket.counts) for bucket in tokens.index.buckets)
    reads = []
    read = ShardReader.read

    def counted(self, name, size, group, columns):
        reads.append((name, group))
        return read(self, name, size, group, columns)

    monkeypatch.setattr(ShardReader, "read", counted)
    for rank in range(world):
        feed = TokenFeed(tokens, batch_size=16, shuffle=Shuffle(8), consumer=Consumer(rank, world))
        assert sum(len(batch["codes"]) for batch in feed) == 600 // world
    assert groups == 60
    assert len(reads) <= groups + 8


def test_padding_is_marked(place):
    tokens = TokenTable(place, columns=NAMES)
    *whole, last = TokenFeed(tokens, batch_size=50, last_batch="pad")
    assert [len(batch["codes"]) for batch in (*whole, last)] == [50, 50, 50]
    assert int(last["padding"].sum()) == 30
    assert not any(batch["padding"].any() for batch in whole)
    assert sample_keys(last)[20:] == sample_keys(whole[0])[:30]


def test_a_mixture_keeps_its_weights_and_the_statistics_of_each_table(place, tmp_path):
    rows = [token_row(clip, 0, SHAPE) for clip in range(100, 130)]
    add_shards(tmp_path, [rows])
    first, second = (TokenTable(at, columns=[*NAMES, "latents"]) for at in (place, tmp_path))
    feed = TokenFeed(Mixture([(first, 0.75), (second, 0.25)]), batch_size=16, seed=1)
    result: list[tuple[int, int]] = []
    for batch, _ in zip(feed, range(20), strict=False):
        keys = sample_keys(batch)
        assert [clip >= 100 for clip, _ in keys] == (batch["source"] == 1).tolist()
        assert int((batch["source"] == 1).sum()) == 4
        result += keys
    second_table = [key for key in result if key[0] >= 100]
    assert (
        sorted(second_table[:30])
        == sorted(second_table[30:60])
        == [(c, 0) for c in range(100, 130)]
    )
    state = feed.state(batch)
    assert len(json.dumps(state)) <= 1024
    again = TokenFeed(Mixture([(first, 0.75), (second, 0.25)]), batch_size=8, seed=1)
    again.load_state(state)
    assert next(iter(again))["cursor"] == (0, 328)
    other = TokenFeed(Mixture([(first, 0.7), (second, 0.3)]), batch_size=16, seed=1)
    with pytest.raises(
        StateMismatchError, match=r"table 0: 0.75 tokens/test-1@\d+ \w+ in the state"
    ):
        other.load_state(state)


def test_tables_of_several_shapes_are_mixed_by_batch(place, shapes):
    tokens = [TokenTable(at, columns=NAMES) for at in (place, shapes)]
    with pytest.raises(ValueError, match="samples of 3 shapes cannot share a batch: choose per='b"):
        Mixture([(tokens[0], 1), (tokens[1], 1)])
    mixture = Mixture([(tokens[0], 1), (tokens[1], 2)], per="batch")
    batches = [b for b, _ in zip(TokenFeed(mixture, batch_size=4), range(36), strict=False)]
    sources = [set(batch["source"].tolist()) for batch in batches]
    assert sources.count({0}) == 12
    assert sources.count({1}) == 24
    own = sorted(key for batch in batches if batch["source"][0] == 1 for key in sample_keys(batch))
    assert len(own) >= 70


def test_a_state_of_another_feed_is_refused(place):
    feed = TokenFeed(place, batch_size=16, seed=1)
    state = feed.state(next(iter(feed)))
    TokenFeed(place, batch_size=8, seed=1).load_state(state)
    with pytest.raises(StateMismatchError, match="seed: 1 in the state, 2 here"):
        TokenFeed(place, batch_size=16, seed=2).load_state(state)
    with pytest.raises(StateMismatchError, match="order: 32/None in the state, 8/None here"):
        TokenFeed(place, batch_size=16, seed=1, shuffle=Shuffle(8)).load_state(state)
    with pytest.raises(StateMismatchError, match="windows: "):
        TokenFeed(TokenTable(place, window=SequenceWindow(2)), batch_size=16, seed=1).load_state(
            state
        )


def test_the_order_is_independent_of_workers(place):
    tokens = TokenTable(place, columns=NAMES, read_options=SMALL)
    feed = TokenFeed(tokens, batch_size=7, epochs=2)
    expected = [(sample_keys(batch), batch["cursor"]) for batch in feed]
    loader = torch.utils.data.DataLoader(feed, batch_size=None, num_workers=3)
    result = list(loader)
    assert [(sample_keys(batch), tuple(batch["cursor"])) for batch in result] == expected
    feed.load_state(feed.state(result[5]))
    rest = torch.utils.data.DataLoader(feed, batch_size=None, num_workers=2)
    assert [sample_keys(batch) for batch in rest] == [keys for keys, _ in expected[6:]]


KILLED = """
import os, signal, sys, time
import torch
from tokenizer.feed import TokenFeed

feed = TokenFeed(sys.argv[1], batch_size=4, epochs=None)
batches = iter(torch.utils.data.DataLoader(feed, batch_size=None, num_workers=2))
next(batches)
start = time.monotonic()

def report(error):
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # reports once
    os.write(1, f"{time.monotonic() - start:.2f} s: {error!r}".encode())
    os._exit(0)

try:
    try:
        os.kill(batches._workers[0].pid, signal.SIGKILL)
        for batch in batches:
            pass
    except Exception as error:
        report(error)
except Exception as error:  # PyTorch's handler of SIGCHLD may raise while the first is handled
    report(error)
"""


@pytest.mark.faults
def test_a_killed_worker_ends_the_epoch_at_once_and_leaves_nothing(place):
    """In a process of its own: PyTorch goes on to raise whenever a child of this one ends."""
    shared = {*Path("/dev/shm").glob("torch_*")}
    command = [sys.executable, "-W", "ignore", "-c", KILLED, str(place)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, cwd=ROOT, timeout=300
    )
    seconds, error = done.stdout.split(" s: ")
    assert float(seconds) < 2
    assert "Error" in error
    assert {*Path("/dev/shm").glob("torch_*")} <= shared


def test_leaving_early_leaves_no_thread(place):
    import threading

    before = threading.active_count()
    batches = iter(TokenFeed(TokenTable(place, read_options=SMALL), batch_size=4, epochs=None))
    next(batches)
    batches.close()
    deadline = time.monotonic() + 5
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threading.active_count() <= before
