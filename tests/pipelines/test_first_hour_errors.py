"""Every error of the first hour, word for word: what is wrong, where, and what to do next."""

import os
import shutil

import pytest

HOW_TO_MAKE = "; `reelmill curate` or `reelmill scan` makes one"
PATHS = "uri, path, file, video, url, file_name"
ERRORS = [
    ("curate", "Missing argument 'videos' (see `reelmill curate --help`)"),
    ("curate videos", "Missing option '--out' / '-o' (see `reelmill curate --help`)"),
    ("cruate videos", "No such command 'cruate'. Did you mean 'curate'? (see `reelmill --help`)"),
    ("curate videos --oout o", "No such option: --oout (Possible options: --out, --quiet, --until)"
                               " (see `reelmill curate --help`)"),
    ("curate nowhere --out new", "no such file or folder: {here}/nowhere"),
    ("curate nothing --out new", "no videos found in nothing"),
    ("curate notes --out new", "no videos found in notes; skipped: 1 .txt; a file without a video's"
                               " suffix is read when it is named itself"),
    ("curate empty.txt --out new", "no videos found in empty.txt"),
    ("curate list.csv --out new", f"{{here}}/list.csv: needs a column named one of {PATHS}; it has"
                                  " name, licence"),
    ("curate list.jsonl --out new", "{here}/list.jsonl: line 2 is not JSON: 'nope'"),
    ("curate http://a.org/a.mp4 --out new", "http://a.org/a.mp4: only local paths, https://, s3://,"
                                            " gs:// and az:// addresses can be used"),
    ("curate videos --out new --set motoin.min=1", "--set motoin.min=1: there is no key"
                                                   " 'motoin.min'; did you mean 'motion.min'?"),
    ("curate videos --out new --set motion.min", "--set motion.min: write it as KEY=VALUE, such as"
                                                 " motion.min=0.01"),
    ("curate videos --out new --set motion.min=fast", "policy.limits.motion.min: input should be a"
                                                      " valid number, not 'fast'"),
    ("curate videos --out new --config other.yaml", "unknown key 'scna' in the profile; did you"
                                                    " mean 'scan'?"),
    ("curate videos --out new --config none", "no profile 'none': give the path of a YAML file, or"
                                              " one of default"),
    ("curate videos --out new --until encode", "until: there is no step 'encode'; there are scan,"
                                               " select, render, caption, tokenize"),
    ("ls nowhere", "no output at nowhere" + HOW_TO_MAKE),
    ("select nowhere", "no output at nowhere" + HOW_TO_MAKE),
    ("report nowhere", "no output at nowhere" + HOW_TO_MAKE),
    ("verify nowhere", "no output at nowhere" + HOW_TO_MAKE),
    ("ls out --verdict good", "Invalid value for '--verdict': 'good' is not one of 'kept',"
                              " 'filtered', 'duplicate' (see `reelmill ls --help`)"),
    ("show out nothing.mp4", "nothing.mp4: there is no such clip, and no file of this name;"
                             " `reelmill ls` lists the clips, `reelmill ls --sources` the files"),
    ("config show no.such", "there is no setting 'no.such'; `reelmill config show` lists them"),
    ("search out --like nothing.png", "there is no clip 'nothing.png', and no picture or video file"
                                      " there"),
    ("export out out", "{out} is not empty and holds no export: choose an empty destination"),
    ("tokenizer eval out --figures none/x.json", "Invalid value for --figures: no folder none (see"
                                                 " `reelmill tokenizer eval --help`)"),
    ("jobs --server http://127.0.0.1:1", "http://127.0.0.1:1: [Errno 111] Connection refused: does"
                                         " `reelmill serve` run there? --server or REELMILL_SERVER"
                                         " names another address"),
    ("gc out --older-than soon", "Invalid value for '--older-than': write a number of hours, days"
                                 " or weeks, such as 12h, 7d or 2w (see `reelmill gc --help`)"),
]  # fmt: skip


@pytest.fixture(scope="module")
def here(curated, tmp_path_factory):
    """A folder with videos, an output, and what is wrong."""
    folder = tmp_path_factory.mktemp("errors")
    for name in ("nothing", "notes"):
        (folder / name).mkdir()
    (folder / "videos").symlink_to(curated.videos)
    shutil.copytree(curated.out, folder / "out")
    files = {
        "notes/a.txt": "a", "empty.txt": "\n# none\n", "list.csv": "name,licence\na.mp4,CC0\n",
        "list.jsonl": '{"video": "a.mp4"}\nnope\n', "other.yaml": "scna: {}\n",
    }  # fmt: skip
    for name, text in files.items():
        (folder / name).write_text(text)
    return folder


@pytest.mark.parametrize(("line", "sentence"), ERRORS, ids=[line for line, _ in ERRORS])
def test_an_error_says_what_where_and_what_to_do(reelmill, here, monkeypatch, line, sentence):
    monkeypatch.chdir(here)
    ended = reelmill(*line.split())
    places = {"{here}": str(here), "{out}": os.path.join(here, "out")}
    for name, place in places.items():
        sentence = sentence.replace(name, place)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err == f"reelmill: {sentence}\n"
    assert not (here / "new").exists()
