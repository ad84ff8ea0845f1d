import errno
import json
import os
from pathlib import Path

import av
import boto3
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curation.catalog import Catalog
from curation.input_list import ListingError
from curation.listing import Entry, entry_at, list_videos
from curation.media.allowlist import CONTAINERS, VIDEO_SUFFIXES
from curation.records import Source
from curation.scan.shots import FixedWindows
from curation.scan.stage import Scan
from curation.scan.step import ScanStep
from curation.storage import Storage
from pipelines.run.engine import in_process
from pipelines.run.step_runner import Progress, run_step
from tests import s3

ODD_NAMES = [
    "two words.mp4", 'quote"s.mp4', "it's.mp4", "b[racket]*?.mp4", "-i.mp4", "new\nline.mp4",
    "%41.mp4", "ü 日本.mp4", "#hash.mp4", "a|b.mp4", "$HOME.mp4", " .mp4",
]  # fmt: skip


def touch(folder: Path, *names: str) -> list[str]:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"12345")
    return [str(folder / name) for name in names]


def uris(*paths: object) -> list[str]:
    return [entry.uri for entry in list_videos(map(str, paths)).entries]


def test_a_folder_gives_its_videos_at_any_depth(tmp_path):
    videos = touch(tmp_path, "a.mp4", "B.MKV", "deep/er/c.MoV", "deep/d.ts")
    touch(tmp_path, "notes.txt", "x.jpg", "mp4", "a.mp4.part", ".hidden.mp4", "deep/._d.ts")
    assert uris(tmp_path) == sorted(videos)
    assert uris(f"{tmp_path}/") == sorted(videos)


def test_the_key_of_an_entry_changes_with_its_file(tmp_path):
    (path,) = touch(tmp_path, "a.mp4")
    (entry,) = list_videos([path]).entries
    assert entry == Entry(path, 5, str(os.stat(path).st_mtime_ns))
    os.utime(path, ns=(1, 1))
    (touched,) = list_videos([path]).entries
    assert touched.key != entry.key


def test_a_named_file_is_an_input_whatever_its_ending(tmp_path):
    assert uris(*touch(tmp_path, "clip.bin", "none")) == [
        f"{tmp_path}/clip.bin",
        f"{tmp_path}/none",
    ]


def test_odd_names_are_listed_as_they_are(tmp_path):
    assert uris(tmp_path) == []
    assert uris(tmp_path, *touch(tmp_path, *ODD_NAMES)) == sorted(
        f"{tmp_path}/{name}" for name in ODD_NAMES
    )


def test_a_folder_named_like_a_video_and_dead_links_are_inputs_too(tmp_path):
    """They fail by name; leaving them out would lose them silently."""
    touch(tmp_path, "x.mp4/inner.mp4")
    (tmp_path / "dead.mp4").symlink_to("nowhere")
    os.mkfifo(tmp_path / "pipe.mp4")
    assert uris(tmp_path) == [
        f"{tmp_path}/{name}" for name in ("dead.mp4", "pipe.mp4", "x.mp4", "x.mp4/inner.mp4")
    ]
    assert entry_at(f"{tmp_path}/dead.mp4", {}) == Entry(f"{tmp_path}/dead.mp4")


def test_an_input_is_listed_once_however_often_it_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    touch(tmp_path, "a.mp4", "b.mp4")
    (tmp_path / "list.txt").write_text("b.mp4\n./b.mp4\nsub/../a.mp4\n")
    assert uris(".", "a.mp4", "list.txt", tmp_path) == [f"{tmp_path}/a.mp4", f"{tmp_path}/b.mp4"]


def test_the_excluded_folder_is_no_input(tmp_path):
    touch(tmp_path, "a.mp4", "out/renders/b.mp4", "outer/c.mp4")
    entries = list_videos([str(tmp_path)], exclude=f"{tmp_path}/out/").entries
    assert [entry.uri for entry in entries] == [f"{tmp_path}/a.mp4", f"{tmp_path}/outer/c.mp4"]


def test_a_text_list_gives_a_path_a_line(tmp_path):
    listing = tmp_path / "in" / "list.TXT"
    listing.parent.mkdir()
    listing.write_bytes(
        b"\xef\xbb\xbfa b.mp4\r\n\r\n# a comment\n  # another\n../c.mp4\n/abs/d.mp4\n  e.mp4  \n"
        b"s\xc2\x85x.mp4"
    )
    assert uris(listing) == sorted(
        [f"{tmp_path}/in/a b.mp4", f"{tmp_path}/c.mp4", "/abs/d.mp4", f"{tmp_path}/in/e.mp4",
         f"{tmp_path}/in/s\x85x.mp4"]
    )  # fmt: skip


def test_a_csv_list_carries_its_other_columns(tmp_path):
    listing = tmp_path / "list.csv"
    listing.write_text('licence,path,camera\nCC0,a.mp4,"left, front"\n,sub/b.mp4,\n')
    first, second = list_videos([str(listing)]).entries
    assert (first.uri, first.extra) == (
        f"{tmp_path}/a.mp4",
        {"licence": "CC0", "camera": "left, front"},
    )
    assert (second.uri, second.extra) == (f"{tmp_path}/sub/b.mp4", {})


def test_a_parquet_list_carries_its_other_columns_as_text(tmp_path):
    columns = {
        "video": ["a.mp4", "b.mp4"],
        "take": [0, 7],
        "night": [False, None],
        "who": ["", "x"],
    }
    pq.write_table(pa.table(columns), tmp_path / "list.parquet")
    first, second = list_videos([str(tmp_path / "list.parquet")]).entries
    assert first.extra == {"take": "0", "night": "False"}
    assert second.extra == {"take": "7", "who": "x"}


def test_uri_comes_before_the_other_names_of_the_path_column(tmp_path):
    (tmp_path / "list.csv").write_text("url,file,uri\nx,y,a.mp4\n")
    (entry,) = list_videos([str(tmp_path / "list.csv")]).entries
    assert (entry.uri, entry.extra) == (f"{tmp_path}/a.mp4", {"url": "x", "file": "y"})


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("l.csv", b"name,size\na.mp4,3\n", "needs a column named .* it has name, size"),
        ("l.csv", b"", "it has none"),
        ("l.csv", b"path,n\na.mp4,1\n,2\n", "row 3 has nothing under 'path'"),
        ("l.csv", b"path\na.mp4,extra\n", "line 2 has more cells than the header"),
        ("l.txt", "a.mp4\n".encode("utf-16"), r"l\.txt: holds zero bytes; a list has to be UTF-8"),
        ("l.parquet", b"junk", r"l\.parquet: .*[Pp]arquet"),
    ],
)  # fmt: skip
def test_a_list_that_cannot_be_read_says_why(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ListingError, match=message):
        list_videos([str(tmp_path / name)])


def test_a_missing_path_is_an_error_that_names_it(tmp_path):
    with pytest.raises(ListingError, match=rf"no such file or folder: {tmp_path}/gone"):
        list_videos([str(tmp_path / "gone")])
    with pytest.raises(ListingError, match=r"http://x/a\.mp4: only local paths"):
        list_videos(["http://x/a.mp4"])
    with pytest.raises(ListingError, match=r"no such file or folder: file:///gone%E9"):
        list_videos([os.fsdecode(b"/gone\xe9")])


def test_an_unreadable_folder_is_not_skipped(tmp_path, monkeypatch):
    def scandir(path: str):
        if path.endswith("closed"):
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return real_scandir(path)

    real_scandir = os.scandir
    monkeypatch.setattr(os, "scandir", scandir)
    (tmp_path / "closed").mkdir()
    with pytest.raises(ListingError, match=r"cannot list .*closed: Permission denied"):
        list_videos([str(tmp_path)])


def test_unreadable_inputs_fail_by_name_with_a_message(tmp_path):
    videos = tmp_path / "v"
    videos.mkdir()
    (videos / os.fsdecode(b"caf\xe9 %.mp4")).write_bytes(b"12345")
    listing = tmp_path / "list.txt"
    listing.write_bytes(b"http://x/a.mp4\nv/gone\xff.mp4\nv/gone.mp4\n")
    entries = list_videos([str(videos), str(listing)]).entries
    catalog = Catalog(Storage.at(tmp_path / "out"))
    step = ScanStep(catalog, Scan(shots=FixedWindows(), scores=()), entries)
    progress = Progress()
    run_step(step, in_process(), progress)
    assert progress.counts == {"unreadable": 3, "missing": 1}
    sources = (
        catalog.read("sources", Source, ["uri", "reason", "detail"]).sort_by("uri").to_pylist()
    )
    assert [(row["uri"], row["reason"]) for row in sources] == [
        (f"{videos}/gone.mp4", "missing"),
        (f"file://{videos}/caf%E9%20%25.mp4", "unreadable"),
        (f"file://{videos}/gone%FF.mp4", "unreadable"),
        ("http://x/a.mp4", "unreadable"),
    ]
    assert sources[1]["detail"] == "its name is no UTF-8 text; rename it"
    assert (
        sources[3]["detail"]
        == "only local paths, https://, s3://, gs:// and az:// addresses can be read"
    )
    assert step.todo() == []


@pytest.mark.s3
def test_an_s3_prefix_and_a_list_on_s3(monkeypatch):
    bucket = s3.bucket(monkeypatch)
    client, name = boto3.client("s3"), bucket.removeprefix("s3://")
    for key in ("in/a b.mp4", "in/deep/C.MKV", "in/notes.md", "in/._a.mp4", "other/d.mp4"):
        client.put_object(Bucket=name, Key=key, Body=b"12345")
    body = f"uri,licence\n../other/d.mp4,CC0\n{bucket}/in/a b.mp4,BY\n{bucket}/gone.mp4,\n"
    client.put_object(Bucket=name, Key="lists/l.csv", Body=body.encode())

    entries = list_videos([f"{bucket}/in/"]).entries
    assert [entry.uri for entry in entries] == [f"{bucket}/in/a b.mp4", f"{bucket}/in/deep/C.MKV"]
    assert all(entry.size_bytes == 5 and int(entry.modified) > 0 for entry in entries)
    assert list_videos([f"{bucket}/in/a b.mp4"]).entries == [entries[0]]

    by_uri = {entry.uri: entry for entry in list_videos([f"{bucket}/lists/l.csv"]).entries}
    assert by_uri[f"{bucket}/other/d.mp4"].extra == {"licence": "CC0"}
    assert by_uri[f"{bucket}/in/a b.mp4"].size_bytes == 5
    assert by_uri[f"{bucket}/gone.mp4"] == Entry(f"{bucket}/gone.mp4")
    with pytest.raises(ListingError, match=f"nothing at {bucket}/nothing"):
        list_videos([f"{bucket}/nothing"])


NON_VIDEO_ENDINGS = {
    ".avif", ".heic", ".heif", ".isma", ".m4a", ".m4b", ".mka", ".mks", ".mpo", ".wma",
}  # fmt: skip
"""Pictures, sound and subtitles in containers that may hold video."""


def test_every_ending_that_a_readable_container_goes_by_is_listed():
    names = set(",".join(CONTAINERS).split(","))
    endings: set[str] = set()
    for name in av.formats_available:
        container = av.ContainerFormat(name)
        if container.is_input and names & set(container.name.split(",")):
            endings |= {f".{ending}" for ending in container.extensions}
    assert endings - VIDEO_SUFFIXES == NON_VIDEO_ENDINGS


def test_endings_of_cameras_discs_and_recorders_are_listed(tmp_path):
    endings = ("insv", "360", "m2t", "m2v", "m1v", "dv", "qt", "mod", "tod", "ogg", "ogm", "lrv",
               "trec", "mpv", "mpe", "divx", "xvid", "mp4v", "k3g", "gifv", "mk3d", "3gpp", "vro",
               "evo", "trp", "dvr-ms", "osv", "lrf", "MOD")  # fmt: skip
    assert uris(tmp_path) == []
    videos = touch(tmp_path, *(f"{n}.{ending}" for n, ending in enumerate(endings)))
    assert uris(tmp_path) == sorted(videos)


def test_skipped_files_are_counted_by_kind(tmp_path):
    touch(tmp_path / "v", "a.mp4", "n.txt", "deep/m.TXT", "x.jpg", "none", ".hidden.mp4", "._a.mp4")
    touch(tmp_path / "v", f"x.{'long' * 9}", "s.001")
    touch(tmp_path, "other/b.mp4", "v/out/renders/c.txt")
    (tmp_path / "v/link").symlink_to(tmp_path / "other")
    (tmp_path / "v/deep/circle").symlink_to(tmp_path / "v")
    listing = list_videos([str(tmp_path / "v"), str(tmp_path / "other/b.mp4")], f"{tmp_path}/v/out")
    assert [entry.uri for entry in listing.entries] == [
        f"{tmp_path}/other/b.mp4",
        f"{tmp_path}/v/a.mp4",
    ]
    assert [entry.root for entry in listing.entries] == [f"{tmp_path}/other/b.mp4", f"{tmp_path}/v"]
    assert listing.skipped == {
        f"{tmp_path}/v": {
            ".txt": 2, "hidden": 2, "linked folder": 2, ".jpg": 1, "no ending": 1, ".001": 1,
            "other endings": 1,
        },
        f"{tmp_path}/other/b.mp4": {},
    }  # fmt: skip


def test_a_numbered_sequence_is_counted_as_one_kind(tmp_path):
    touch(tmp_path, *(f"frame.{number}" for number in range(60)), "a.txt", "b.txt")
    (counts,) = list_videos([str(tmp_path)]).skipped.values()
    assert (len(counts), counts.total(), counts[".txt"]) == (51, 62, 2)


def test_an_invalid_address_in_a_list_fails_alone(tmp_path):
    (tmp_path / "list.txt").write_text("s3://\nfile://host/a.mp4\ngs:/b/c.mp4\n")
    first, second, third = list_videos([str(tmp_path / "list.txt")]).entries
    assert first == Entry(f"{tmp_path}/gs:/b/c.mp4")
    assert (second.uri, "file:///PATH" in second.problem) == ("file://host/a.mp4", True)
    assert (third.uri, "names no bucket" in third.problem) == ("s3://", True)


@pytest.mark.s3
def test_keys_that_no_client_can_open_fail_by_name_and_the_others_go_on(monkeypatch, tmp_path):
    bucket = s3.bucket(monkeypatch)
    name, client = bucket.removeprefix("s3://"), boto3.client("s3")
    bad = ["a//b.mp4", "/lead.mp4", "a/./c.mp4"]
    good = ["a/o#p.mp4", "a/q?.mp4", "a/%20.mp4", "a/[x]^|.mp4", "a/back\\slash.mp4"]
    for key in (*bad, *good):
        client.put_object(Bucket=name, Key=key, Body=b"no video")
    entries = list_videos([bucket]).entries
    assert {entry.uri for entry in entries} == {f"{bucket}/{key}" for key in (*bad, *good)}
    assert entry_at(f"{bucket}/a//b.mp4", {}).problem.startswith("a part of its key is empty")
    catalog = Catalog(Storage.at(tmp_path / "out"))
    step, progress = ScanStep(catalog, Scan(shots=FixedWindows(), scores=()), entries), Progress()
    run_step(step, in_process(), progress)
    assert progress.counts == {"unreadable": len(bad), "not_video": len(good)}
    assert step.todo() == []
    with pytest.raises(ListingError, match="a part of its key is empty"):
        list_videos([f"{bucket}/a//b.mp4"])


def test_links_to_outside_are_left_out_where_they_are_not_followed(tmp_path):
    """A name that is no UTF-8 is no link for that."""
    videos, odd = tmp_path / "videos", os.fsdecode(b"caf\xe9.mp4")
    videos.mkdir()
    for path in (tmp_path / "secret.mp4", videos / odd, videos / "own.mp4"):
        path.write_bytes(b"x")
    (videos / "out.mp4").symlink_to("../secret.mp4")
    (videos / "in.mp4").symlink_to("own.mp4")
    found = list_videos([str(videos)], follow_links=False)
    assert sorted(Path(entry.uri).name for entry in found.entries) == [
        "caf%E9.mp4", "in.mp4", "own.mp4",
    ]  # fmt: skip
    (skipped,) = found.skipped.values()
    assert skipped["links leading outside"] == 1
    assert len(list_videos([str(videos)]).entries) == 4
    swapped = tmp_path / "swapped"
    swapped.symlink_to(videos)
    with pytest.raises(ListingError, match=r"leads through a link to .*/videos: name that"):
        list_videos([str(swapped)], follow_links=False)
    assert len(list_videos([str(swapped)]).entries) == 4


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("list.tsv", "video\tlicence\tempty\na.mp4\tCC0\t\nb.mp4\tMIT\t\n"),
        ("list.jsonl", '{"video": "a.mp4", "licence": "CC0"}\n\n{"licence": "MIT", "url": 7,'
                       ' "video": "b.mp4"}\n'),
    ],
)  # fmt: skip
def test_lists_of_tabs_and_json_lines_keep_their_columns(tmp_path, name, text):
    a, b = touch(tmp_path, "a.mp4", "b.mp4")
    (tmp_path / name).write_text(text)
    listing = list_videos([str(tmp_path / name), a])
    assert [(entry.uri, entry.extra["licence"]) for entry in listing.entries] == [
        (a, "CC0"), (b, "MIT"),
    ]  # fmt: skip
    assert listing.repeated == (a,)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"video": "a.mp4"}\n{"video": 3}', "row 2 has no path under 'video', but 3"),
        ('{"video": "a.mp4"}\nnot json', "line 2 is not JSON"),
        ('["a.mp4"]', "line 1 is no JSON object"),
        ('{"video": "a.mp4"}\n{"licence": "x"}', "row 2 has nothing under 'video'"),
        ('{"name": "a.mp4"}', "needs a column named one of uri, path,"),
    ],
)
def test_json_lines_that_name_no_videos_are_refused(tmp_path, text, words):
    (tmp_path / "list.jsonl").write_text(text)
    with pytest.raises(ListingError, match=f"list.jsonl: {words}"):
        list_videos([str(tmp_path / "list.jsonl")])


def test_two_lists_of_a_folder_add_up(tmp_path):
    touch(tmp_path, "a.mp4", "b.mp4")
    (tmp_path / "metadata.csv").write_text("file_name,licence\na.mp4,CC0\nb.mp4,MIT\n")
    (tmp_path / "metadata.jsonl").write_text('{"file_name": "b.mp4", "text": "a hand"}\n')
    entries = list_videos([str(tmp_path)]).entries
    assert [entry.extra for entry in entries] == [
        {"licence": "CC0"}, {"licence": "MIT", "text": "a hand"},
    ]  # fmt: skip


def test_a_video_folder_of_hugging_face_gives_its_columns(tmp_path):
    touch(tmp_path, "train/a.mp4", "train/deep/b.mp4", "train/c.mp4", "other/d.mp4")
    rows = [{"file_name": "a.mp4", "text": "a car"}, {"file_name": "deep/b.mp4", "text": "a hand"}]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (tmp_path / "train/metadata.jsonl").write_text(text)
    (tmp_path / "other/metadata.csv").write_text("no,such,column\n1,2,3\n")
    listing = list_videos([str(tmp_path)])
    texts = {Path(entry.uri).name: entry.extra.get("text") for entry in listing.entries}
    assert texts == {"a.mp4": "a car", "b.mp4": "a hand", "c.mp4": None, "d.mp4": None}
    assert listing.skipped[str(tmp_path)] == {".csv": 1}
    (tmp_path / "train/metadata.jsonl").rename(tmp_path / "outside.jsonl")
    (tmp_path / "train/metadata.jsonl").symlink_to(tmp_path / "outside.jsonl")
    listing = list_videos([str(tmp_path / "train")], follow_links=False)
    assert not any(entry.extra for entry in listing.entries)


def _write_huge(path: Path) -> None:
    path.touch()
    os.truncate(path, 65 << 20)


def _write_bomb(path: Path) -> None:
    """A Parquet file of one page, ten thousand times as long once it is unpacked."""
    names = pa.array([f"{n % 7}" * 1000 for n in range(100_000)])
    pq.write_table(pa.table({"file_name": names}), path, compression="zstd", use_dictionary=False)
    assert path.stat().st_size < 1 << 20


@pytest.mark.parametrize(
    ("name", "make", "words"),
    [
        ("metadata.csv", os.mkfifo, "is no regular file"),
        ("metadata.jsonl", lambda path: path.write_text("[" * 9999), "line 1 is not JSON"),
        ("metadata.csv", lambda path: path.write_bytes(b"file_name\n\0"), "holds zero bytes"),
        ("metadata.csv", _write_huge, "68,157,440"),
        ("metadata.parquet", _write_bomb, "unpacks to"),
    ],
    ids=["pipe", "deep", "zeros", "huge", "bomb"],
)
def test_a_folder_is_listed_without_the_metadata_that_cannot_be_read(tmp_path, name, make, words):
    (video,) = touch(tmp_path, "a.mp4")
    make(tmp_path / name)
    listing = list_videos([str(tmp_path)])
    assert [entry.uri for entry in listing.entries] == [video]
    (problem,) = listing.unread
    assert problem.startswith(f"{tmp_path / name}: ")
    assert words in problem


def test_a_pipe_is_no_list(tmp_path):
    os.mkfifo(tmp_path / "l.txt")
    with pytest.raises(ListingError, match=r"l\.txt: is no regular file"):
        list_videos([str(tmp_path / "l.txt")])


def test_a_path_of_a_list_that_leads_through_a_link_fails_alone_where_none_is_followed(tmp_path):
    own, _ = touch(tmp_path, "own.mp4", "secret.mp4")
    (tmp_path / "link.mp4").symlink_to("secret.mp4")
    (tmp_path / "l.txt").write_text("own.mp4\nlink.mp4\n")
    link, found = list_videos([str(tmp_path / "l.txt")], follow_links=False).entries
    assert (found.uri, found.problem) == (own, "")
    assert link.problem.startswith("leads through a link to ")
