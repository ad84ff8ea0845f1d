"""`make demo` puts every path into one word, and own videos into an output of their own."""

import shlex
import shutil
import subprocess

import pytest

from tests.outputs import ROOT

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="needs make")


def commands(*variables: str) -> dict[str, list[str]]:
    """The arguments of each `reelmill` command that `make demo` would run."""
    made = subprocess.run(
        ["make", "--dry-run", "demo", *variables], cwd=ROOT, capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    lines = [line.partition("reelmill ")[2] for line in made.stdout.splitlines()]
    words = [shlex.split(line.partition(" || ")[0]) for line in lines if line]
    return {name: arguments for name, *arguments in words}


def test_the_samples_go_to_their_output():
    assert commands()["curate"] == ["demo/videos", "--out", "demo/out"]


@pytest.mark.parametrize("videos", ["mine", "/a/my videos", "it's", "a&b;c", "s3://b/x y", "#x"])
def test_own_videos_go_to_an_output_of_their_own(videos):
    found = commands(f"VIDEOS={videos}")
    place, _, out = found["curate"]
    assert place == videos
    assert out.startswith("demo/")
    assert out != "demo/out"
    assert (found["verify"], found["report"]) == ([out], [out])
    assert "sample" not in found


def test_two_folders_of_one_name_have_two_outputs():
    one, two = (commands(f"VIDEOS=/{disk}/videos")["curate"][-1] for disk in "ab")
    assert one != two


def test_an_output_that_is_named_is_taken():
    assert commands("VIDEOS=mine", "OUT=my out")["curate"] == ["mine", "--out", "my out"]
