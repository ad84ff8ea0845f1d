"""The report of outputs that are written row by row: no video is decoded."""

import base64
import dataclasses
import io
import json
import re
import shutil
from collections.abc import Iterator
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from curation import records
from curation.dataset import Dataset
from curation.records import Caption, Clip, Render, Run, Source, Thumbnail, TokenizedClip, Verdict
from curation.scores.motion import MotionScores
from curation.select.policy import CategoryRule, Policy, Range
from curation.select.selection import select
from pipelines.report import contact_sheets, formatting, histogram, totals
from pipelines.report.page import write_report
from pipelines.report.snapshot import OutputSnapshot
from tests.rows import MeasuredClip, add_source, make_clip
from tokenizer.tokenize.shards import TokenWindow

HOSTILE = "<script>alert('x')</script>\"onload=\"y&amp;</title>.mp4"
POLICY = {"limits": {"motion": {"min": 0.125}, "duration_s": {"max": 9.0}}, "near_duplicates": 0.9}


class Page(HTMLParser):
    """Text, tags and attributes of a page."""

    def __init__(self, text):
        super().__init__()
        self.raw, self.words, self.tags = text, [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())

    def total(self, label):
        match = re.search(rf"<dt>{label}</dt><dd class=\"num\">([^<]*?)\s*<", self.raw)
        return match[1]

    def pictures(self):
        return [attrs["src"] for tag, attrs in self.tags if tag == "img"]


def jpeg(shade=128):
    buffer = io.BytesIO()
    Image.new("RGB", (320, 180), (shade, 90, 60)).save(buffer, "JPEG")
    return buffer.getvalue()


def append(dataset, app, name, record, rows):
    with dataset.catalog.writer(app, {name: record}) as writer:
        writer.append(name, records.to_table(record, rows))


def clip(name, start_s, end_s, source="s0"):
    frames = (int(start_s * 10), int(end_s * 10))
    return Clip(name, source, *frames, start_s, end_s, *frames)


def source(uri, source_id, seconds):
    return Source(uri, 9, "", "scanned", source_id=source_id, duration_s=seconds, width=64,
                  height=48, fps=10.0)  # fmt: skip


@pytest.fixture
def dataset(tmp_path):
    """Two sources, one copy, two failures; five clips: two kept, two filtered, a duplicate."""
    dataset = Dataset(tmp_path / "out")
    append(dataset, "t", "sources", Source, [
        source(f"/v/{HOSTILE}", "s0", 60.0),
        source("/v/plain.mp4", "s1", 30.0),
        source("/v/copy.mp4", "s1", 30.0),
        Source(f"/v/{HOSTILE}.bad", 1, "", "failed", "corrupt", "<img src=x onerror=alert(1)>"),
        Source("/v/none.mp4", 0, "", "failed", "empty", "0 bytes"),
    ])  # fmt: skip
    clips = [clip("c0", 0, 4), clip("c1", 4, 8), clip("c2", 8, 10), clip("c3", 10, 30),
             clip("c4", 75, 80, "s1")]  # fmt: skip
    append(dataset, "t", "clips", Clip, clips)
    motion = [0.5, 0.3, 0.0625, 0.4, None]
    append(dataset, "t", "scores/motion", MotionScores, [
        MotionScores(c.clip_id, c.source_id, still_share=None, longest_still_s=None, motion=m)
        for c, m in zip(clips, motion, strict=True)
    ])  # fmt: skip
    append(dataset, "t", "thumbnails", Thumbnail, [
        *(Thumbnail(c.clip_id, c.source_id, 0, jpeg(9 * i)) for i, c in enumerate(clips[:4])),
        Thumbnail("c4", "s1", 0, b"no picture"),
    ])  # fmt: skip
    return dataset


@pytest.fixture
def selected(dataset):
    append(dataset, "t", "selection", Verdict, [
        Verdict("sel", "c0", "s0", "kept"),
        Verdict("sel", "c1", "s0", "duplicate", "near_duplicate", "c0", 0.9375),
        Verdict("sel", "c2", "s0", "filtered", "little_motion"),
        Verdict("sel", "c3", "s0", "filtered", "too_long"),
        Verdict("sel", "c4", "s1", "kept"),
    ])  # fmt: skip
    run = Run("r", "select", "2026-01-02T03:04:05+00:00", 0.5, json.dumps({"policy": POLICY}),
              "{}", "{}", "", "sel")  # fmt: skip
    append(dataset, "t", "runs", Run, [run])
    return dataset


@pytest.fixture
def finished(selected):
    append(selected, "t", "captions/facts", Caption, [Caption("c0", "s0", f"A {HOSTILE}")])
    append(selected, "t", "renders/a", Render, [
        Render("c0", "s0", "rendered", mode="span"),
        Render("c4", "s1", "failed", "time_limit", "too slow"),
        Render("c1", "s0", "rendered", mode="span"),
    ])  # fmt: skip
    window = {
        "windows": 2, "start_frame": 0, "start_s": 0.0, "start_pts": None, "time_base": None,
        "pad_frames": 1, "fps": 10.0, "causal_first": True, "context_latents": 0,
        "pixel_height": 16, "pixel_width": 32, "pad_bottom": 0, "pad_right": 0,
        "latent_frames": 3, "latent_height": 2, "latent_width": 4,
        "channels": 5, "codes": b"", "codes_dtype": "uint16", "latents": b"",
        "latents_dtype": "float16", "tokenizer": "t", "tokenizer_digest": "d",
        "psnr_codes_db": 25.0, "psnr_latents_db": 30.0,
    }  # fmt: skip
    append(selected, "t", "tokens/pca", TokenWindow, [
        TokenWindow(clip_id=c, source_id="s0", window=w, frames=16, **window)
        for c, w in (("c0", 0), ("c0", 1), ("c1", 0))
    ])  # fmt: skip
    append(selected, "t", "tokenized/pca", TokenizedClip, [
        TokenizedClip("c0", "s0", "tokenized", windows=2, psnr_codes_db=25.0, psnr_latents_db=30.5),
        TokenizedClip("c1", "s0", "tokenized", windows=1, psnr_codes_db=99.0, psnr_latents_db=99.0),
    ])  # fmt: skip
    append(selected, "t", "runs", Run, [
        Run("q", "scan", "2026-01-01", 45.0, "not json", "{}", "{}", '{"decode": 30, "shots": 6}',
            "sources"),
    ])  # fmt: skip
    return selected


@pytest.fixture
def read(tmp_path):
    def report(dataset, **options) -> Page:
        path = write_report(dataset, tmp_path / "report.html", **options)
        assert path == tmp_path / "report.html"
        return Page(path.read_text(encoding="utf-8"))

    return report


def test_headline_counts_equal_the_tables(finished, read):
    page = read(finished)
    labels = ("Inputs", "Source video", "Clips", "Kept", "Kept video", "Token windows")
    assert [page.total(label) for label in labels] == ["5", "90.0 s", "5", "2", "9.0 s", "2"]
    assert page.total("Discrete tokens") == "48"
    assert "selection sel of 2026-01-02 03:04" in page.text


def test_counts_follow_every_clip_to_its_end(finished):
    counts = totals.gather(OutputSnapshot.at(finished))
    assert (counts.scanned, counts.identical_inputs, dict(counts.failed)) == (
        3,
        1,
        {"corrupt": 1, "empty": 1},
    )
    assert list(counts.filtered.items()) == [("too_long", 1), ("little_motion", 1)]
    assert counts.kept + counts.duplicates + counts.filtered.total() + counts.newer == counts.clips
    render, tokenize = counts.steps["render"], counts.steps["tokenize"]
    assert (render.done, dict(render.failed)) == (1, {"time_limit": 1})
    assert (tokenize.done, dict(tokenize.failed)) == (1, {})


def test_funnel_names_every_part(finished, read):
    labels = [attrs.get("aria-label", "") for tag, attrs in read(finished).tags if tag == "svg"]
    assert "Inputs: 5; scanned 3 · 60.0 %, failed 2 · 40.0 %" in labels
    assert (
        "Clips: 5; kept 2 · 40.0 %, duplicates 1 · 20.0 %, too_long 1 · 20.0 %, "
        "little_motion 1 · 20.0 %"
    ) in labels
    assert "To render: 2; rendered 1 · 50.0 %, failed 1 · 50.0 %" in labels


def test_thresholds_are_drawn_and_named(finished, read):
    page = read(finished)
    assert ">≥ 0.125</text>" in page.raw
    assert ">≤ 9</text>" in page.raw
    assert "agree by at least 0.9" in page.text
    assert "motion 0.0625 < 0.125" in page.text
    assert "duration_s 20 > 9" in page.text


def test_policy_argument_replaces_the_recorded_one(finished, read):
    page = read(finished, policy=Policy({"motion": Range(max=0.75)}))
    assert ">≤ 0.75</text>" in page.raw
    assert "≥ 0.125" not in page.raw


@pytest.mark.parametrize("config", [
    "", "no json", "[]", '{"policy": 3}', '{"policy": {"limits": {}, "near_duplicates": 7}}',
    '{"policy": {"limits": {"gone": {"min": 1}, "motion": 3}, "near_duplicates": "x"}}',
])  # fmt: skip
def test_a_malformed_policy_is_ignored(dataset, read, config):
    append(dataset, "t", "selection", Verdict, [Verdict("old", "c0", "s0", "kept")])
    append(dataset, "t", "runs", Run, [Run("r", "select", "", 1.0, config, "", "", "x", "old")])
    page = read(dataset)
    assert "≥" not in page.raw
    assert "4 clips are newer than the selection" in page.text


def test_clips_of_each_verdict_have_a_tile(finished, read):
    page = read(finished)
    assert page.text.count("no picture") == 1, "the thumbnail of c4 is damaged"
    assert len(page.pictures()) == 5, "c0 as kept and in the pair, c1, c2, c3"
    assert "01:15.0–01:20.0" in page.text
    assert "0.938 similar" in page.text
    assert "Decoding met damaged data." in page.text
    assert "The clip is longer than the policy allows." in page.text


def test_pictures_are_small_jpegs(finished):
    address = contact_sheets.gather(OutputSnapshot.at(finished)).kept.tiles[0].picture
    kind, coded = address.split(",")
    assert kind == "data:image/jpeg;base64"
    assert Image.open(io.BytesIO(base64.b64decode(coded))).size == (240, 135)


def test_galleries_are_capped_and_say_so(finished, monkeypatch, read):
    monkeypatch.setattr(contact_sheets, "MAX_KEPT", 1)
    monkeypatch.setattr(totals, "MAX_FAILURES", 1)
    page = read(finished)
    assert "First 1 of 2, spread evenly over all." in page.text
    assert "First 1 of 2." in page.text


def test_names_are_escaped(finished, read):
    page = read(finished)
    assert "<script>alert" not in page.raw
    assert "onerror=alert(1)>" not in page.raw
    assert not any(name.startswith("on") for _, attrs in page.tags for name in attrs)
    assert sum(tag == "script" for tag, _ in page.tags) == 1
    assert f"A {HOSTILE}" in [attrs.get("alt") for tag, attrs in page.tags if tag == "img"]
    assert HOSTILE in page.raw.replace("&lt;", "<").replace("&gt;", ">").replace(
        "&#39;", "'").replace("&#34;", '"').replace("&amp;", "&")  # fmt: skip


def external_addresses(page) -> Iterator[str]:
    for tag, attrs in page.tags:
        for name in ("src", "href", "srcset", "poster", "data", "action", "xlink:href"):
            value = attrs.get(name)
            if value is not None and not value.startswith(("data:", "#")):
                yield f"{tag} {name}={value}"


def test_the_file_is_self_contained(finished, read):
    page = read(finished)
    assert list(external_addresses(page)) == []
    style = page.raw[page.raw.index("<style>") : page.raw.index("</style>")]
    assert "url(" not in style
    assert "@import" not in style
    policy = next(a["content"] for _, a in page.tags if "http-equiv" in a)
    assert policy.startswith("default-src 'none'; img-src data:;")


def test_the_content_policy_allows_the_script(finished, read):
    import hashlib

    raw = read(finished).raw
    script = raw[raw.rindex("<script>") + 8 : raw.rindex("</script>")]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"'sha256-{digest}'" in raw


def test_an_empty_output_says_what_to_run(tmp_path, read):
    text = read(Dataset(tmp_path / "nothing")).text
    assert "No inputs yet: run reelmill scan" in text
    assert "Nothing is measured yet" in text
    assert "No run is recorded" in text


def test_an_output_without_a_selection_says_what_to_run(dataset, read):
    page = read(dataset)
    assert (
        "No selection yet. To decide which clips are worth keeping, run reelmill select"
        in page.text
    )
    assert "No selection yet, so no bounds are drawn" in page.text
    assert page.total("Kept") == "–"
    assert (
        "No tokens yet: run reelmill select , reelmill render , then reelmill tokenize" in page.text
    )
    assert page.pictures() == []


def test_a_selection_without_renders_says_what_to_run(selected, read):
    text = read(selected).text
    assert "None rendered yet. Next, run reelmill render" in text
    assert "No tokens yet: run reelmill render , then reelmill tokenize" in text


def test_renders_without_tokens_say_what_to_run(selected, read):
    append(selected, "t", "renders/a", Render, [Render("c0", "s0", "rendered", mode="span")])
    text = read(selected).text
    assert "None tokenized yet. Next, run reelmill tokenize" in text
    assert "No tokens yet: run reelmill tokenize ." in text


def test_an_output_without_failures_says_so(tmp_path, read):
    dataset = Dataset(tmp_path / "fine")
    append(dataset, "t", "sources", Source, [source("/v/a.mp4", "s0", 1.0)])
    append(dataset, "t", "clips", Clip, [clip("c0", 0, 1)])
    append(dataset, "t", "selection", Verdict, [Verdict("x", "c0", "s0", "kept")])
    append(dataset, "t", "runs", Run, [Run("r", "select", "", 1.0, "", "", "", "", "x")])
    text = read(dataset).text
    assert "No input failed." in text
    assert "Nothing was filtered" in text
    assert "No duplicates." in text
    assert "The policy of this selection is not recorded" in text


def test_token_sizes_are_compared_with_pixels(finished, read):
    page = read(finished)
    # two windows of 16 frames of 32 × 16 pixels; 24 codes and 5 × 24 latents each
    assert "49.2 kB" in page.text
    assert "512 : 1" in page.text
    assert "102.4 : 1" in page.text
    assert "PSNR, codes 25.0 dB, mean" in page.text
    assert "PSNR, latents 30.5 dB, mean" in page.text


def test_timing_shows_speed_and_parts(finished, read):
    text = read(finished).text
    assert "scan sources 1 45.0 s 36.0 s 2 decode 30.0 s shots 6.0 s" in text
    assert "select sel 1 0.5 s – 70" in text


def test_a_folder_as_target_is_refused(dataset, tmp_path):
    with pytest.raises(IsADirectoryError, match="name a file in it"):
        write_report(dataset, tmp_path)


def test_nothing_in_the_output_changes(finished, tmp_path, read):
    def modified():
        files = (tmp_path / "out").rglob("*")
        return {f: f.stat().st_mtime_ns for f in files if f.is_file()}

    before = modified()
    read(finished)
    assert modified() == before


@pytest.mark.parametrize(("low", "high", "ends"), [
    (0.0, 1.0, (0.0, 1.0)), (0.4, 19.2, (0.0, 20.0)), (-3.0, 3.0, (-4.0, 4.0)),
    (0.0, 0.0, (0, 0.06)),
])  # fmt: skip
def test_axes_contain_their_range_and_end_on_round_numbers(low, high, ends):
    first, last, tick_step = histogram.rounded_axis(low, high)
    assert (first, last) == pytest.approx(ends)
    assert first <= low <= high <= last
    assert 3 <= round((last - first) / tick_step) <= 6


def test_bars_of_a_histogram_add_up():
    values = np.array([0.0, 0.1, 0.1, 0.9, np.nan, 1.0])
    plot = histogram.plot_histogram("x", "", {"kept": values})
    numbers = [int(re.search(r": (\d+) kept", bar.title)[1]) for bar in plot.bars]
    assert (sum(numbers), plot.measured, plot.missing) == (5, 5, 1)
    assert max(bar.height for bar in plot.bars) == histogram.HEIGHT
    assert histogram.plot_histogram("x", "", {"kept": values[4:5]}) is None


@pytest.mark.parametrize(("formatted", "text"), [
    (formatting.share(1, 8), "12.5 %"), (formatting.share(1, 10**6), "<0.1 %"),
    (formatting.share(999_999, 10**6), ">99.9 %"), (formatting.share(3, 3), "100 %"),
    (formatting.share(0, 0), "–"), (formatting.clock(83.46), "01:23.5"),
    (formatting.clock(3725.0), "1:02:05.0"), (formatting.clock(59.97), "01:00.0"),
    (formatting.number(0.005), "0.005"), (formatting.number(1234.5), "1,234"),
    (formatting.number(0), "0"), (formatting.large(3_620_000), "3.62 M"),
    (formatting.large(9_999), "9,999"), (formatting.size(1_568_079), "1.57 MB"),
    (formatting.duration(5430), "90.5 min"), (formatting.duration(90_000), "25.0 h"),
    (formatting.base_name("s3://b/k/x.mp4"), "x.mp4"),
])  # fmt: skip
def test_number_formats(formatted, text):
    assert formatted == text


def copy_tokens(dataset, name, windows, clips):
    """Another table of tokens, with other values in the rows of `tokens/pca`."""
    for folder, record, changes in (
        ("tokens", TokenWindow, windows),
        ("tokenized", TokenizedClip, clips),
    ):
        table = dataset.catalog.read(f"{folder}/pca", record)
        changed = [dataclasses.replace(row, **changes) for row in records.from_table(record, table)]
        append(dataset, "t", f"{folder}/{name}", record, changed)
    run = Run("z", "tokenize", "2027-01-01", 1.0, "", "", "", "", f"tokenized/{name}")
    append(dataset, "t", "runs", Run, [run])


@pytest.mark.parametrize(
    ("head", "other", "texts"),
    [
        ("codes", "latents", ("Discrete tokens", "512 : 1")),
        ("latents", "codes", ("Continuous tokens", "102.4 : 1")),
    ],
)
def test_a_tokenizer_with_one_head_shows_that_one(finished, read, head, other, texts):
    words, ratio = texts
    null = {f"psnr_{other}_db": None}
    copy_tokens(finished, "one", {other: None, f"{other}_dtype": None, **null}, null)
    page = read(finished)
    assert page.total(words) == "48"
    section = page.text.split("one Kept clips")[1].split("pca Kept clips")[0]
    assert f"{words} 48 PSNR, {head}" in section
    assert ratio in section
    assert f"PSNR, {other}" not in section
    assert f"{other}, " not in section


def test_tokens_that_were_not_measured_say_so(finished, read):
    null = {"psnr_codes_db": None, "psnr_latents_db": None}
    copy_tokens(finished, "fast", null, null)
    page = read(finished)
    section = page.text.split("fast Kept clips")[1].split("pca Kept clips")[0]
    assert section.count("– not measured") == 2
    assert "512 : 1" in section


def test_tokens_of_outdated_renders_are_marked_and_not_counted(finished, read):
    """As between blurring faces in the renders and tokenizing those."""
    row = {"render_profile": "a"}
    copy_tokens(finished, "plain", row, row)
    page = read(finished)
    assert page.total("Token windows") == "2"
    assert "plain Made from renders/a . Kept clips" in page.text
    append(finished, "t", "renders/b", Render, [Render("c0", "s0", "rendered", mode="span")])
    run = Run("y", "render", "2027-01-02", 1.0, "", "", "", "", "renders/b")
    append(finished, "t", "runs", Run, [run])
    for table in ("tokens/pca", "tokenized/pca"):
        shutil.rmtree(finished.catalog.storage.uri(table))
    page = read(finished)
    assert "plain Made from renders/a , which are not the newest renders." in page.text
    assert "None tokenized yet" in page.text
    assert "Token windows 2" not in page.text


def test_tags_are_counted_and_shown_with_a_gallery_of_each_word(tmp_path):
    dataset = Dataset(tmp_path)
    words = ["static", "static", "pan_left", None]
    clips = [
        MeasuredClip(make_clip("a" * 64, 48 * n, 48 * n + 48), scores={"camera": word})
        for n, word in enumerate(words)
    ]
    add_source(dataset, "/v/film.mp4", clips)
    select(dataset, Policy(near_duplicates=None, tags={"camera": CategoryRule(deny=("pan_left",))}))
    page = Page(write_report(dataset, tmp_path / "report.html").read_text())
    assert "How the camera moves. 1 without a word." in page.text
    assert f"static 2 · {formatting.share(2, 4)}" in page.text
    assert f"pan_left 1 · {formatting.share(1, 4)}" in page.text
    assert [a["id"] for tag, a in page.tags if a.get("id", "").startswith("tag-")] == [
        "tag-camera-static", "tag-camera-pan_left",
    ]  # fmt: skip
