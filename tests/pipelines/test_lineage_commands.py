"""Other renders and other selections on one output: what is made anew, and what counts then."""

import json
from pathlib import Path

import pytest

from curation import lineage, records
from curation.dataset import Dataset
from curation.records import Render, TokenizedClip
from tokenizer.feed import ClipQuery, TokenFeed, TokenTable
from tokenizer.tokenize.shards import TokenWindow

SLOW = ("--set", "encoding.fps=12")


@pytest.fixture
def twice(reelmill, copied):
    """An output that was curated again at half the frame rate."""
    ended = reelmill("curate", copied.videos, "--out", copied.out, *copied.options, *SLOW)
    assert ended.code == 3, ended
    assert "tokenize: 2 tokenized" in ended.out
    return copied


def fed(place: Path, **asked: str) -> set[str]:
    tokens = TokenTable(place, columns=["clip_id"], clips=ClipQuery(**asked))
    return {clip for batch in TokenFeed(tokens, batch_size=4) for clip in batch["clip_id"]}


def newest(place: Path) -> tuple[str, str]:
    """The tables of renders and of tokens that count."""
    dataset = Dataset(place)
    selection = dataset.latest_selection()
    renders = lineage.current_renders(dataset.catalog, selection)
    return str(renders), lineage.resolve_table(dataset.catalog, "tokens", None, selection)


def test_renders_at_another_rate_have_tokens_of_their_own(reelmill, twice):
    catalog = Dataset(twice.out).catalog
    assert len(catalog.names("renders")) == len(catalog.names("tokens")) == 2
    rates = set()
    for name in catalog.names("tokenized"):
        rows = records.from_table(TokenizedClip, catalog.read(name, TokenizedClip))
        (profile,) = {row.render_profile for row in rows}
        made = records.from_table(Render, catalog.read(f"renders/{profile}", Render))
        renders = {row.clip_id: row for row in made}
        tokens = catalog.read(name.replace("tokenized", "tokens"), TokenWindow)
        windows = records.from_table(TokenWindow, tokens)
        for row in rows:
            render = renders[row.clip_id]
            said = (row.render_sha256, row.render_frames, row.render_fps)
            assert said == (render.sha256, render.frames, render.fps)
            own = [window for window in windows if window.clip_id == row.clip_id]
            assert sum(window.frames for window in own) == render.frames
            assert {window.render_sha256 for window in own} == {render.sha256}
            rates.add((render.fps, render.frames))
    assert rates == {(24.0, 24), (12.0, 12)}
    ended = reelmill("verify", twice.out)
    assert ended.code == 0, ended


def test_what_is_exported_decoded_and_fed_are_the_newest_renders_tokens(reelmill, twice, tmp_path):
    renders, tokens = newest(twice.out)
    assert TokenTable(twice.out).name == tokens
    assert {row["fps"] for row in _windows(twice.out, tokens)} == {12.0}
    ended = reelmill("export", twice.out, tmp_path / "shards")
    assert ended.code == 0, ended
    said = json.loads((tmp_path / "shards" / "export.json").read_text())
    assert {renders, tokens} < said["tables"].keys()
    clip = next(iter(fed(twice.out)))
    ended = reelmill("tokenizer", "decode", twice.out, clip, "--video", tmp_path / "look.mp4")
    assert (ended.code, ended.out.split(":")[0]) == (0, "12 frames")
    (other,) = set(Dataset(twice.out).catalog.names("tokens")) - {tokens}
    ended = reelmill("export", twice.out, tmp_path / "odd", "--tokens", other)
    assert ended.code == 2
    assert f"{other} was made from renders/" in ended.err.replace("\n", " ")


def _windows(place: Path, table: str) -> list[dict]:
    return Dataset(place).catalog.read(table, TokenWindow, ["fps", "frames"]).to_pylist()


def test_going_back_to_the_first_settings_makes_nothing_and_counts(reelmill, twice):
    before = newest(twice.out)
    ended = reelmill("curate", twice.videos, "--out", twice.out, *twice.options)
    assert "tokenize: nothing to do" in ended.out
    after = newest(twice.out)
    assert before[0] != after[0]
    assert before[1] != after[1]
    runs = Dataset(twice.out).runs().num_rows
    reelmill("curate", twice.videos, "--out", twice.out, *twice.options)
    assert Dataset(twice.out).runs().num_rows == runs


def test_between_rendering_and_tokenizing_nothing_old_is_taken(reelmill, copied, tmp_path):
    reelmill("render", copied.out, *copied.options, *SLOW)
    renders = lineage.current_renders(Dataset(copied.out).catalog, None)
    words = f"no tokens of {renders}, its newest renders, only tokens/pca-"
    with pytest.raises(ValueError, match=words):
        TokenTable(copied.out)
    for command in (
        ("export", copied.out, tmp_path / "x"),
        ("tokenizer", "decode", copied.out, "a"),
    ):
        ended = reelmill(*command)
        assert ended.code == 2
        assert "run `reelmill tokenize` with the settings" in ended.err.replace("\n", " ")


def test_settings_that_nothing_was_rendered_with_are_told(reelmill, copied):
    ended = reelmill("tokenize", copied.out, *copied.options, *SLOW)
    assert ended.code == 2
    assert "which the settings ask for; it has renders/encode-" in ended.err.replace("\n", " ")


def test_a_clip_that_a_person_leaves_out_is_neither_fed_nor_exported(reelmill, copied, tmp_path):
    left_out, stays = sorted(fed(copied.out))
    (tmp_path / "no.txt").write_text(left_out + "\n")
    exclude = ("--set", f"policy.exclude={tmp_path / 'no.txt'}")
    ended = reelmill("select", copied.out, *copied.options, *exclude)
    assert "filtered: excluded" in ended.out
    assert fed(copied.out) == {stays}
    assert fed(copied.out, selection="all") == {left_out, stays}
    ended = reelmill("export", copied.out, tmp_path / "shards")
    assert "1 clips, shards: 1" in ended.out
    ended = reelmill("export", copied.out, tmp_path / "all", "--selection", "all")
    assert "2 clips, shards: 1" in ended.out
    run = ("tokenizer", "eval", copied.out, "-t", "pca-8x8x8", "--short-side", "32")
    assert "1 clips, 24 frames" in reelmill(*run).out
    assert "2 clips, 48 frames" in reelmill(*run, "--selection", "all").out
