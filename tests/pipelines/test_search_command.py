"""`reelmill index` and `search` on a small output, and the use of an exported subset."""

import json
import re

import pyarrow.parquet as pq
import pytest
from PIL import Image

from curation.dataset import Dataset
from curation.media.clip_reader import ClipReader
from curation.records import Render, Run
from curation.search import Search, SearchError
from tokenizer.feed import ClipQuery, TokenFeed, TokenTable


def test_index_shows_its_contents(reelmill, copied):
    ended = reelmill("index", copied.out)
    assert ended.code == 0, ended
    assert "5 clips, 5 of them new" in ended.out
    assert re.search(r" all +1 +0$", ended.out, re.MULTILINE)
    again = reelmill("index", copied.out)
    assert "5 clips, 0 of them new" in again.out


def test_hits_by_words_condition_and_page(reelmill, copied):
    ended = reelmill(
        "search", copied.out, "landscape clip", "--where", "verdict = 'kept'", "--top", "1"
    )
    assert ended.code == 0, ended
    assert "kept" in ended.out
    after = ended.out.split("--after ")[1].split()[0]
    more = reelmill(
        "search", copied.out, "landscape clip", "--where", "verdict = 'kept'", "--top", "1",
        "--after", after,
    )  # fmt: skip
    assert more.code == 0, more
    assert more.out != ended.out


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--where", "duration > 1"], "no column 'duration'; did you mean 'duration_s'"),
        (["--top", "1000000000"], "a page has 1 to 10,000 hits"),
        (["--like", "nowhere.mp4"], "no clip 'nowhere.mp4'"),
        (["words", "--export", "a/b"], "a subset's name"),
    ],
)
def test_usage_errors(reelmill, copied, options, words):
    ended = reelmill("search", copied.out, *options)
    assert ended.code == 2
    assert words in ended.err


def test_search_creates_no_output(reelmill, tmp_path):
    assert reelmill("search", tmp_path / "none", "x").code == 2
    assert not (tmp_path / "none").exists()


def test_a_video_and_its_span_and_a_picture_of_it_find_their_clips(copied, tmp_path):
    search = Search(copied.out)
    video = copied.videos / "a.mp4"
    for span, start_s in (("#0-1", 0.0), ("#1-2", 1.0)):
        hit = search.query(like=f"{video}{span}", k=1, where="uri like '%/a.mp4'").to_pylist()[0]
        assert hit["start_s"] == start_s
        assert hit["score"] > 0.99
    frames = ClipReader(video.read_bytes(), width=160, height=96, frames=48).read([30])
    picture = tmp_path / "picture.png"
    Image.fromarray(frames[0]).save(picture)
    hit = search.query(like=picture, k=1, where="uri like '%/a.mp4'").to_pylist()[0]
    assert hit["start_s"] == 1.0
    for like, words in (
        (f"{video}#7-9", "shows nothing from 7 to 9 s; it has 2.0 s"),
        (f"{video}#2-1", "ends before it starts"),
        (copied.videos / "notes.mp4", "not_video|text"),
    ):
        with pytest.raises(SearchError, match=words):
            search.query(like=like)


def test_the_contact_sheet_is_self_contained_and_escaped(reelmill, copied, monkeypatch):
    launched = []
    monkeypatch.setattr("typer.launch", launched.append)
    ended = reelmill("search", copied.out, "--where", "1 < 2 and uri like '%.mp4'", "--open")
    assert ended.code == 0, ended
    page = (copied.out / "search" / "hits.html").read_text()
    assert launched == [(copied.out / "search" / "hits.html").as_uri()]
    assert page.count("data:image/jpeg;base64,") == 3
    assert "1 &lt; 2" in page
    assert "http" not in page.replace("http-equiv", "")


def test_a_subset_is_rendered_tokenized_and_fed_and_verified(reelmill, copied, tmp_path):
    where = "verdict = 'duplicate' and start_s < 0.5"
    file = tmp_path / "copies.parquet"
    ended = reelmill("search", copied.out, "--where", where, "--duplicates", "--export", file)
    assert ended.code == 0, ended
    rows = pq.read_table(file)
    (clip,) = rows["clip_id"].to_pylist()
    metadata = json.loads(rows.schema.metadata[b"reelmill"])
    assert metadata["question"]["where"] == where
    assert metadata["index"].endswith("/1")
    dataset = Dataset(copied.out)
    (run,) = [r for r in dataset.runs().to_pylist() if r["step"] == "search"]
    assert run["result"] == metadata["subset_id"]
    (renders,) = dataset.catalog.names("renders")
    rendered = dataset.catalog.values(renders, Render, "clip_id")
    assert clip not in rendered
    for command, selection in (("render", "copies"), ("tokenize", file)):
        ended = reelmill(command, copied.out, *copied.options, "--selection", selection)
        assert ended.code in (0, 3), ended
    assert dataset.catalog.values(renders, Render, "clip_id") == {*rendered, clip}
    for selection in ("copies", metadata["subset_id"], str(file)):
        query = ClipQuery(selection=selection)
        tokens = TokenTable(copied.out, columns=["codes", "clip_id"], clips=query)
        batches = list(TokenFeed(tokens, batch_size=4))
        assert {c for batch in batches for c in batch["clip_id"]} == {clip}
    ended = reelmill("verify", copied.out)
    assert ended.code == 0, ended
    assert dataset.latest_selection() not in (None, metadata["subset_id"])
    assert dataset.catalog.read("runs", Run).num_rows > 0


def test_a_name_means_its_newest_subset(reelmill, copied):
    for where in ("uri like '%/a.mp4'", "uri like '%/copy.mkv'"):
        ended = reelmill("search", copied.out, "--where", where, "--duplicates", "--export", "mine")
        assert ended.code == 0, ended
    dataset = Dataset(copied.out)
    kept = dataset.clips("kept", "mine")
    assert {uri.rsplit("/", 1)[1] for uri in kept["uri"].to_pylist()} == {"copy.mkv"}
    ended = reelmill("render", copied.out, *copied.options, "--selection", "yours")
    assert ended.code == 2
    assert "there is no selection 'yours'; there are" in ended.err
    assert "no such subset" in ended.err
