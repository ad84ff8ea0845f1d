"""Hostile and broken files: each fails with its own reason and message, and does nothing else."""

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from curation.errors import MediaError
from curation.listing import entry_at
from curation.media import sandbox
from curation.media.confinement import FileAccess
from curation.media.decode import AnalysisSampling, decode_streams
from curation.media.probe import check_readable, probe
from curation.media.sandbox import Limits
from curation.reasons import INPUT_REASONS
from curation.sample import Coding
from curation.scan.shots import FixedWindows
from curation.scan.stage import Scan, ScanItem
from curation.stage import Done, Failed, attempt

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def plain(made):
    """72 frames in mp4 with the index at the end."""
    return made("plain.mp4", 72, Coding(b_frames=2))


@pytest.fixture(scope="module")
def streamed(plain, ffmpeg, tmp_path_factory):
    """The same with the index at the front."""
    path = tmp_path_factory.mktemp("bad") / "streamed.mp4"
    ffmpeg("-i", plain, "-c", "copy", "-movflags", "+faststart", path)
    return path


@pytest.fixture
def fails(verdict):
    """Scans a file and checks that it fails for a reason, with this text in its detail."""

    def check(path, reason, text, limits=None):
        source = verdict(path, limits)
        assert (source.outcome, source.reason) == ("failed", reason)
        assert reason in INPUT_REASONS
        assert text in source.detail
        assert source.detail.isprintable()
        return source

    return check


def truncated(source, target, share):
    content = source.read_bytes()
    target.write_bytes(content[: int(len(content) * share)])
    return target


def test_paths_that_are_no_files(fails, tmp_path):
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "folder.mp4").mkdir()
    (tmp_path / "dangling.mp4").symlink_to(tmp_path / "nowhere")
    os.mkfifo(tmp_path / "pipe.mp4")
    fails(tmp_path / "empty.mp4", "empty", "0 bytes")
    fails(tmp_path / "folder.mp4", "not_a_file", "directory")
    fails(tmp_path / "pipe.mp4", "not_a_file", "pipe")
    fails(tmp_path / "dangling.mp4", "missing", "a link that leads nowhere")
    fails(tmp_path / "absent.mp4", "missing", "no such file")
    fails(tmp_path / ("x" * 300), "unreadable", "File name too long")
    fails("/dev/null", "not_a_file", "device")


def test_a_file_that_may_not_be_read(plain, tmp_path, monkeypatch):
    path = tmp_path / "secret.mp4"
    path.write_bytes(plain.read_bytes())
    path.chmod(0)
    if os.geteuid() == 0:  # root may read everything
        monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(MediaError) as caught:
        check_readable(str(path))
    assert (caught.value.reason, caught.value.detail) == ("unreadable", "no permission to read it")


def test_a_hostile_name_is_only_a_name(plain, verdict, tmp_path):
    for name in ("-i.mp4", "a'b\"c;$(x) %d\n[0].mp4", "concat:x|y.mp4"):
        path = tmp_path / name
        path.write_bytes(plain.read_bytes())
        source = verdict(path)
        assert (source.outcome, source.frames, source.detail) == ("scanned", 72, None), name


def test_text_and_pictures(fails, ffmpeg, tmp_path):
    text = tmp_path / "text.mp4"
    text.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 130\n")
    fails(text, "not_video", "text, starting 'version https://git-lfs")
    text.write_text("<?xml version=1.0?><Error><Code>AccessDenied</Code></Error>")
    fails(text, "not_video", "text, starting '<?xml")
    for kind in ("png", "jpg"):
        picture = tmp_path / f"picture.{kind}"
        ffmpeg("-f", "lavfi", "-i", "testsrc=s=64x64", "-frames:v", 1, picture)
        fails(picture.rename(tmp_path / f"{kind}.mp4"), "not_video", "a still picture")


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "avi"])
def test_noise(suffix, fails, tmp_path):
    noise = tmp_path / f"noise.{suffix}"
    noise.write_bytes(np.random.default_rng(7).bytes(50_000))
    fails(noise, "not_video", "no container format fits the bytes")


def test_audio_only_and_cover_art(fails, ffmpeg, tmp_path):
    sound = tmp_path / "sound.mp4"
    ffmpeg("-f", "lavfi", "-i", "sine=d=0.5", "-c:a", "aac", sound)
    fails(sound, "no_video_stream", "with 1 audio streams")
    cover = tmp_path / "cover.mp4"
    art = tmp_path / "art.png"
    ffmpeg("-f", "lavfi", "-i", "testsrc=s=64x64", "-frames:v", 1, art)
    ffmpeg("-i", sound, "-i", art, "-map", 0, "-map", 1, "-c", "copy",
           "-disposition:v:0", "attached_pic", cover)  # fmt: skip
    fails(cover, "no_video_stream", "with 1 audio streams")


def test_containers_and_codecs_that_are_not_allowed(plain, fails, ffmpeg, tmp_path):
    ffmpeg("-i", plain, "-c", "copy", "-f", "nut", tmp_path / "nut.mp4")
    fails(tmp_path / "nut.mp4", "container_not_allowed", "container nut is not on the allow-list")
    for name, codec in (("a.avi", "huffyuv"), ("a.mov", "qtrle")):
        ffmpeg("-i", plain, "-frames:v", 3, "-c:v", codec, tmp_path / name)
        fails(tmp_path / name, "codec_not_allowed", f"video codec {codec}")


PLAYLISTS = {
    "hls": "#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXTINF:3,\n{}\n#EXT-X-ENDLIST\n",
    "hls_after_a_mark": "\ufeff\r\n \t#EXTM3U\n#EXTINF:3,\n{}\n",
    "concat": "ffconcat version 1.0\nfile '{}'\n",
    "dash": '<?xml version="1.0"?>\n<MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><BaseURL>{}',
    "hls_with_noise": "#EXTM3U\n#EXTINF:3,\n{}\n\0\1\2\3",
}


@pytest.mark.parametrize("kind", PLAYLISTS)
def test_playlists_are_refused(kind, plain, fails, tmp_path):
    path = tmp_path / "list.mp4"
    path.write_text(PLAYLISTS[kind].format(plain), encoding="utf-8")
    fails(path, "playlist", "starts like a playlist: ")


@pytest.mark.parametrize("kind", PLAYLISTS)
def test_the_decoder_opens_no_file_that_a_playlist_names(kind, plain, tmp_path):
    """Even without sniffing, the allow-list of containers prevents it."""
    path = tmp_path / "list.mp4"
    path.write_text(PLAYLISTS[kind].format(plain), encoding="utf-8")
    info = probe(str(plain), Limits())
    frames = []
    accessed_ns = plain.stat().st_atime_ns
    with pytest.raises(MediaError) as caught:
        decode_streams(
            str(path), info, AnalysisSampling(), Limits(),
            on_lowres=frames.append, on_analysis=frames.append,
        )  # fmt: skip
    assert caught.value.reason == "corrupt"
    assert frames == []
    assert plain.stat().st_atime_ns == accessed_ns


@pytest.mark.media
def test_files_that_end_early(plain, streamed, fails, made, tmp_path):
    fails(
        truncated(streamed, tmp_path / "front.mp4", 0.6),
        "truncated",
        "bytes are missing at the end",
    )
    fails(
        truncated(streamed, tmp_path / "none.mp4", 0.05),
        "truncated",
        "bytes are missing at the end",
    )
    fails(truncated(plain, tmp_path / "back.mp4", 0.6), "truncated", "without its index (moov)")
    avi = made("plain.avi", 72, Coding("mpeg4"))
    fails(truncated(avi, tmp_path / "cut.avi", 0.5), "truncated", "bytes are missing at the end")
    mkv = made("plain.mkv", 72, Coding(b_frames=2))
    fails(truncated(mkv, tmp_path / "cut.mkv", 0.5), "truncated", "File ended prematurely")


def test_a_file_that_lacks_its_last_frames(streamed, fails, tmp_path):
    """Cut exactly between two frames, so that nothing is damaged."""
    import av

    with av.open(str(streamed)) as container:
        last = [p for p in container.demux(video=0) if p.size][50]
        path = tmp_path / "short.mp4"
        path.write_bytes(streamed.read_bytes()[: last.pos])
    fails(path, "truncated", "")


def test_damage_in_the_middle(streamed, made, fails, tmp_path):
    content = bytearray(streamed.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 400] = bytes(400)
    (tmp_path / "hole.mp4").write_bytes(content)
    source = fails(tmp_path / "hole.mp4", "corrupt", "")
    assert len(source.detail) > 10
    assert (source.codec, source.width, source.height) == ("h264", 320, 180)
    mkv = bytearray(made("plain.mkv", 72, Coding(b_frames=2)).read_bytes())
    mkv[4:40] = bytes(36)
    (tmp_path / "head.mkv").write_bytes(mkv)
    fails(tmp_path / "head.mkv", "corrupt", "starts as Matroska, but: ")


def test_metadata_cannot_pose_as_an_error(plain, verdict, ffmpeg, tmp_path):
    path = tmp_path / "title.mkv"
    lines = [
        "[error] File ended prematurely",
        "[fatal] x",
        "Reconfiguring filter graph because 1x1",
    ]
    title = "a\n" + "\n".join([*lines, *(f"[in#0 @ 0x12ab] [error] {line}" for line in lines)])
    ffmpeg("-i", plain, "-c", "copy", "-metadata", f"title={title}", path)
    source = verdict(path)
    assert (source.outcome, source.detail, source.frames) == ("scanned", None, 72)


def test_a_size_that_changes(made, fails, tmp_path):
    first, second = made("plain.h264", 30), made("small.h264", 30, size=(160, 96))
    path = tmp_path / "grows.h264"
    path.write_bytes(second.read_bytes() + first.read_bytes())
    fails(path, "size_changes", "starts as 160x96, becomes 320x180")


@pytest.mark.media
def test_limits(plain, fails, ffmpeg, tmp_path):
    fails(plain, "too_many_frames", "more than 50 frames", Limits(max_frames=50))
    fails(plain, "too_large_picture", "320x180 exceeds", Limits(max_pixels=320 * 180 - 1))
    fails(plain, "memory_limit", "needed more than 90 MiB", Limits(memory_mb=90))
    large = tmp_path / "large.mp4"
    ffmpeg("-f", "lavfi", "-i", "testsrc=s=3840x2160", "-frames:v", 6, "-c:v", "libx264",
           "-preset", "ultrafast", "-refs", 4, large)  # fmt: skip
    fails(large, "memory_limit", "needed more than 300 MiB", Limits(memory_mb=300))
    bomb = tmp_path / "bomb.mkv"
    ffmpeg("-f", "lavfi", "-i", "color=gray:s=8193x8193:r=1", "-frames:v", 1, "-c:v", "png",
           "-pix_fmt", "gray", bomb)  # fmt: skip
    assert bomb.stat().st_size < 300_000
    fails(bomb, "too_large_picture", "Picture size 8193x8193 exceeds")


def test_frames_up_to_the_limit_are_accepted(plain, verdict):
    source = verdict(plain, Limits(max_frames=72, max_pixels=320 * 180))
    assert (source.outcome, source.frames) == ("scanned", 72)


@pytest.fixture(scope="module")
def endless(ffmpeg, tmp_path_factory):
    """40,000 frames that take many seconds to decode: one short stream, 200 times over."""
    folder = tmp_path_factory.mktemp("endless")
    once, often = folder / "once.h264", folder / "endless.h264"
    still = "testsrc=s=640x360:r=100:d=2"
    ffmpeg("-f", "lavfi", "-i", still, "-c:v", "libx264", "-preset", "ultrafast", once)
    often.write_bytes(once.read_bytes() * 200)
    return often


@pytest.mark.media
def test_a_decoder_is_stopped_when_its_time_is_up(endless, fails):
    fails(endless, "time_limit", "stopped after 1 s", Limits(wall_s=1))
    fails(endless, "time_limit", "used more than 1 s of CPU time", Limits(cpu_s=1))


@dataclass(frozen=True)
class KilledScan:
    """A scan whose decoder is killed the first few times."""

    times: int

    def setup(self):
        scan, remaining = Scan(shots=FixedWindows()).setup(), [self.times]

        def work(item):
            with pytest.MonkeyPatch.context() as patch:
                original = sandbox.spawn

                def spawn(command, limits, **options):
                    decoding = str(command[0]) != sys.executable
                    if decoding and remaining[0] > 0:
                        remaining[0] -= 1
                        command = ["/bin/sh", "-c", "kill -9 $$"]
                    return original(command, limits, **options)

                patch.setattr(sandbox, "spawn", spawn)
                return scan(item)

        return work


@pytest.mark.media
def test_a_decoder_killed_once_is_retried(plain):
    item = ScanItem(entry_at(str(plain), {}))
    undisturbed, once = (attempt(KilledScan(times).setup(), item) for times in (0, 1))
    assert isinstance(undisturbed, Done)
    assert isinstance(once, Done)
    assert once.value.source == undisturbed.value.source
    assert once.value.source.outcome == "scanned"
    assert once.value.clips.equals(undisturbed.value.clips)
    assert once.value.side_rows == undisturbed.value.side_rows


def test_a_decoder_killed_every_time_fails_the_source(plain):
    outcome = attempt(KilledScan(9).setup(), ScanItem(entry_at(str(plain), {})))
    assert isinstance(outcome, Failed)
    assert (outcome.reason, outcome.detail) == ("decoder_died", "child ended by signal 9 (Killed)")


def test_a_decoder_ends_with_its_parent(endless):
    code = (
        "import sys; from curation.media.probe import probe; from curation.media.sandbox import *;"
        "from curation.media.decode import *\n"
        "def low(x): print(os.getpid(), flush=True) if not frames else None; frames.append(1)\n"
        "frames = []\n"
        "decode_streams(sys.argv[1], probe(sys.argv[1], Limits()), AnalysisSampling(), Limits(),"
        " on_lowres=low, on_analysis=lambda x: None)"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", "import os;" + code, str(endless)],
        stdout=subprocess.PIPE, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    try:
        assert parent.stdout.readline().strip() == str(parent.pid).encode()
        decoders = Path(f"/proc/{parent.pid}/task/{parent.pid}/children").read_text().split()
        assert len(decoders) == 1
        assert b"ffmpeg" in Path(f"/proc/{decoders[0]}/cmdline").read_bytes().split(b"\0")[0]
        parent.send_signal(signal.SIGKILL)
        parent.wait()
        assert has_exited(int(decoders[0]))
    finally:
        parent.kill()
        parent.wait()
        parent.stdout.close()


def has_exited(process):
    """Whether a process is gone or a zombie within ten seconds."""
    for _ in range(200):
        try:
            state = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return True
        if state in "ZX":
            return True
        time.sleep(0.05)
    return False


@pytest.mark.skipif(os.geteuid() != 0, reason="only root reads what its owner alone may read")
def test_children_of_root_have_no_rights_of_root(plain, fails, tmp_path):
    path = shutil.copy(plain, tmp_path / "private.mp4")
    os.chown(path, 1000, 1000)
    path.chmod(0o600)
    fails(path, "unreadable", "only its owner may read it")


def test_a_child_gets_no_environment_and_no_open_files(plain, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    program = """if True:
        import json, os, resource
        limit = resource.getrlimit(resource.RLIMIT_CORE)
        descriptors = []
        for number in range(1000):
            try:
                os.fstat(number)
                descriptors.append(number)
            except OSError:
                pass
        print(json.dumps([sorted(os.environ), descriptors, limit]))
    """
    with open(plain, "rb") as secret:
        assert secret.fileno() > 2
        command = [sys.executable, "-I", "-c", program]
        out, _ = sandbox.run(command, Limits(), files=FileAccess())
    variables, descriptors, core = json.loads(out)
    assert set(variables) - {"LC_CTYPE"} == {"LC_ALL"}
    assert descriptors == [0, 1, 2]
    assert core == [0, 0]


def test_a_child_that_cannot_start_leaves_no_pipe_open(plain, monkeypatch):
    info = probe(str(plain), Limits())
    monkeypatch.setattr("curation.media.ffmpeg_command.ffmpeg_path", lambda: "/no/such/program")
    descriptors = os.listdir("/proc/self/fd")
    for _ in range(3):
        with pytest.raises(FileNotFoundError):
            decode_streams(
                str(plain), info, AnalysisSampling(), Limits(), on_lowres=len, on_analysis=len
            )
    assert len(os.listdir("/proc/self/fd")) == len(descriptors)


def test_a_failing_callback_stops_the_decoder(endless):
    def full(frames):
        raise OSError(28, "No space left on device")

    info = probe(str(endless), Limits())
    descriptors = os.listdir("/proc/self/fd")
    with pytest.raises(OSError, match="No space left"):
        decode_streams(
            str(endless), info, AnalysisSampling(), Limits(), on_lowres=full, on_analysis=len
        )
    assert len(os.listdir("/proc/self/fd")) == len(descriptors)
    assert Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split() == []


@pytest.mark.media
def test_bad_files_leak_nothing(streamed, fails, tmp_path):
    bad = [truncated(streamed, tmp_path / f"cut{n}.mp4", 0.3 + 0.1 * n) for n in range(2)]
    (tmp_path / "list.mp4").write_text("#EXTM3U\n")
    (tmp_path / "empty.mp4").touch()

    def round_of_failures():
        for path in bad:
            fails(path, "truncated", "missing")
        fails(tmp_path / "list.mp4", "playlist", "")
        fails(tmp_path / "empty.mp4", "empty", "")
        fails(streamed, "too_many_frames", "", Limits(max_frames=5))

    round_of_failures()
    descriptors = sorted(os.listdir("/proc/self/fd"))
    for _ in range(2):
        round_of_failures()
    assert sorted(os.listdir("/proc/self/fd")) == descriptors
    assert resource.getrlimit(resource.RLIMIT_AS)[0] == resource.RLIM_INFINITY
