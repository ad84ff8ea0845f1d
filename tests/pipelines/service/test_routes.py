"""What the routes answer, over one real output."""

import base64
import hashlib
import json
import re
import shutil
import zlib

import pyarrow.compute as pc
import pytest

from curation.dataset import Dataset
from curation.sample import write_numbered_video
from tests.outputs import ROOT
from tests.rows import add_run

DRIVE = "/v1/collections/drive"


@pytest.fixture
def clip(outputs) -> str:
    """A kept clip."""
    return Dataset(outputs / "drive").clips("kept")["clip_id"][0].as_py()


def test_collections_are_named_and_counted(served):
    assert served.client.get("/v1/collections").json() == ["drive"]
    found = served.client.get(DRIVE).json()
    assert found["sources"] == {"scanned": 3, "failed": 1}
    assert found["clips"] == sum(found["verdicts"].values()) == 5
    assert found["verdicts"]["kept"] == 2
    failed = served.client.get(f"{DRIVE}/sources?outcome=failed").json()
    assert [(s["name"], s["reason"]) for s in failed["sources"]] == [("notes.mp4", "not_video")]
    assert [run["step"] for run in served.client.get(f"{DRIVE}/runs").json()][:2] == [
        "scan", "select",
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["none", "..", ".reelmill", "%2e%2e", "a%2fb", "drive%00"])
def test_other_names_are_no_collections(served, name):
    assert served.client.get(f"/v1/collections/{name}").status_code in (404, 422)


def test_clips_come_in_pages_without_paths_of_the_server(served, outputs, curated):
    first = served.client.get(f"{DRIVE}/clips?limit=3").json()
    rest = served.client.get(f"{DRIVE}/clips?after={first['next']}").json()
    ids = [clip["clip_id"] for clip in first["clips"] + rest["clips"]]
    assert ids == Dataset(outputs / "drive").clips()["clip_id"].to_pylist()
    assert (first["total"], rest["next"]) == (5, None)
    text = served.client.get(f"{DRIVE}/clips").text
    assert str(outputs) not in text
    assert str(curated.videos) not in text


def test_one_clip_in_full(served, clip):
    found = served.client.get(f"{DRIVE}/clips/{clip}").json()
    assert found["facts"]["verdict"] == "kept"
    assert [len(texts) for texts in found["captions"].values()] == [1]
    assert served.client.get(f"{DRIVE}/clips/{'0' * 32}").status_code == 404


def test_a_render_is_streamed_whole_and_in_parts(served, outputs, clip):
    catalog = Dataset(outputs / "drive").catalog
    (path,) = (outputs / "drive").glob(f"renders/*/media/*/{clip}.mp4")
    whole = served.client.get(f"{DRIVE}/clips/{clip}/video")
    assert whole.content == path.read_bytes()
    assert whole.headers["content-type"] == "video/mp4"
    assert whole.headers["cache-control"] == "private, no-cache"
    part = served.client.get(f"{DRIVE}/clips/{clip}/video", headers={"Range": "bytes=100-199"})
    assert (part.status_code, part.content) == (206, path.read_bytes()[100:200])
    assert part.headers["content-range"] == f"bytes 100-199/{path.stat().st_size}"
    past = served.client.get(f"{DRIVE}/clips/{clip}/video", headers={"Range": "bytes=99999999-"})
    assert past.status_code == 416
    assert catalog.names("renders")


def test_a_render_by_an_older_profile_is_not_shown(serve, curated, tmp_path, clip):
    """Faces may be blurred in the newest renders alone, of which this clip has none."""
    shutil.copytree(curated.out, tmp_path / "root" / "drive")
    (path,) = (tmp_path / "root" / "drive").glob(f"renders/*/media/*/{clip}.mp4")
    dataset = Dataset(tmp_path / "root" / "drive")
    newest = dataset.latest_selection()
    add_run(dataset, "render", "renders/encode-blurred", started="9999", selection=newest)
    served = serve(root=str(tmp_path / "root"))
    shown = served.client.get(f"{DRIVE}/clips/{clip}/video")
    assert shown.status_code == 200
    assert shown.content != path.read_bytes()


def test_a_clip_that_was_not_rendered_is_cut_from_its_source(served, outputs):
    clips = Dataset(outputs / "drive").clips()
    spans = clips.filter(pc.field("verdict") != "kept")
    video = served.client.get(f"{DRIVE}/clips/{spans['clip_id'][0].as_py()}/video")
    assert video.status_code == 200
    assert video.content[4:8] == b"ftyp"
    again = served.client.get(f"{DRIVE}/clips/{spans['clip_id'][0].as_py()}/video")
    assert again.content == video.content


def test_a_thumbnail_is_an_immutable_jpeg(served, clip):
    found = served.client.get(f"{DRIVE}/clips/{clip}/thumbnail")
    assert found.content[:3] == b"\xff\xd8\xff"
    assert "immutable" in found.headers["cache-control"]


def test_the_report_allows_its_own_script_alone(served):
    found = served.client.get(f"{DRIVE}/report")
    assert found.text.startswith("<!doctype html>")
    policy = found.headers["content-security-policy"]
    assert "script-src 'sha256-" in policy
    assert "default-src 'none'" in policy


def test_search_by_condition_and_by_example(served, clip):
    kept = served.client.post(f"{DRIVE}/search", json={"where": "verdict = 'kept'"}).json()
    assert len(kept["hits"]) == 2
    like = served.client.post(f"{DRIVE}/search", json={"like": [clip], "collapse": False})
    assert like.status_code == 200, like.text
    wrong = served.client.post(f"{DRIVE}/search", json={"where": "nonsense > 3"})
    assert wrong.status_code == 422
    assert "nonsense" in wrong.json()["detail"]
    path = served.client.post(f"{DRIVE}/search", json={"like": ["/etc/passwd"]})
    assert path.status_code == 422


def test_an_example_is_an_id_even_where_a_file_has_its_name(served, tmp_path, monkeypatch):
    write_numbered_video(tmp_path / "a.mp4", 12, size=(160, 96)).rename(tmp_path / "abcdef")
    monkeypatch.chdir(tmp_path)
    answer = served.client.post(f"{DRIVE}/search", json={"like": ["abcdef"]})
    assert (answer.status_code, "there is no clip 'abcdef'" in answer.text) == (422, True)


def test_search_by_an_image_and_a_subset_of_the_hits(served, clip, tmp_path):
    video = write_numbered_video(tmp_path / "a.mp4", 12, size=(160, 96))
    picture = served.client.get(f"{DRIVE}/clips/{clip}/thumbnail").content
    where = f"{DRIVE}/search/picture"
    headers = {"Content-Type": "image/jpeg"}
    assert served.client.post(where, content=picture, headers=headers).status_code in (200, 422)
    for content in (b"x", video.read_bytes()):
        answer = served.client.post(where, content=content, headers=headers)
        assert (answer.status_code, "is no JPEG, PNG or WebP" in answer.text) == (422, True)
    assert served.client.post(where, json={}).status_code == 415
    query = {"where": "verdict = 'kept'", "name": "good"}
    kept = served.client.post(f"{DRIVE}/subsets", json=query)
    assert kept.status_code == 201, kept.text
    assert kept.json()["clips"] == 2


def test_clips_are_kept_and_dropped_by_hand(served, clip):
    where = f"{DRIVE}/reviews"
    assert served.client.get(where).json() == {"reviews": [], "total": 0}
    stored = served.client.post(where, json={"clips": [clip], "decision": "drop", "note": "dark"})
    assert (stored.status_code, stored.json()["clips"]) == (201, 1), stored.text
    (review,) = served.client.get(where).json()["reviews"]
    assert (review["clip_id"], review["decision"], review["note"]) == (clip, "drop", "dark")
    assert review["by"] == stored.json()["by"]
    outcome = served.client.post(f"{DRIVE}/reselection", json={}).json()
    assert clip in outcome["lost"]
    for body, status in (
        ({"clips": ["0" * 32], "decision": "keep"}, 404),
        ({"clips": ["../x"], "decision": "keep"}, 422),
        ({"clips": [], "decision": "keep"}, 422),
        ({"clips": [clip], "decision": "burn"}, 422),
    ):
        assert served.client.post(where, json=body).status_code == status, body
    undone = served.client.post(where, json={"clips": [clip], "decision": "undo"})
    assert undone.status_code == 201
    assert served.client.get(where).json()["total"] == 0


def test_metrics_count_requests_by_route(served):
    served.client.get(DRIVE)
    text = served.client.get("/metrics").text
    assert (
        'reelmill_requests_total{method="GET",route="/v1/collections/{name}",status="200"}' in text
    )
    assert 'reelmill_jobs{state="running"} 0.0' in text


def test_metrics_show_the_steps_of_running_jobs(served):
    sent = {"kind": "verify", "collection": "drive"}
    job = served.client.post("/v1/jobs", json=sent).json()
    assert "reelmill_step_done{" not in served.client.get("/metrics").text
    job = served.service.queue.start_next(10, 10)
    folder = served.service.job_folder(job.job_id)
    folder.path.mkdir(parents=True)
    scan = {
        "step": "scan", "unit": "sources", "done": 6, "total": 9, "before": 1,
        "counts": {"scanned": 4, "not_video": 1}, "video_s": 61.5, "workers": 4, "waiting": 2,
        "busy": 0.75, "began": 1000.0, "at": 1010.0,
    }  # fmt: skip
    ended = {"step": "render", "unit": "clips", "done": 3, "total": 3, "counts": {}, "workers": 2,
             "busy": 1.0, "began": 1000.0, "at": 1001.0}  # fmt: skip
    folder.progress.write_text(json.dumps({"steps": [scan, ended]}))
    text = served.client.get("/metrics").text
    labels = '{collection="drive",step="scan"}'
    expected = {"done": 6, "total": 9, "failed": 1, "video_seconds": 61.5, "workers": 4,
                "waiting": 2, "busy": 3}  # fmt: skip
    for name, value in expected.items():
        assert f"reelmill_step_{name}{labels} {float(value)}" in text
    assert 'reelmill_step_workers{collection="drive",step="render"} 0.0' in text
    shown = served.client.get(f"/v1/jobs/{job.job_id}").json()["steps"][0]
    assert (shown["workers"], shown["busy"], shown["video_s"]) == (4, 0.75, 61.5)
    served.service.queue.finish(job, 0)


def test_the_dashboard_asks_for_metrics_that_there_are(served):
    named = set(re.findall(r"reelmill_\w+", (ROOT / "docker/grafana/reelmill.json").read_text()))
    text = served.client.get("/metrics").text
    for name in named:
        assert f"# HELP {name.removesuffix('_bucket').removesuffix('_total')}" in text, name


def test_a_log_is_read_whole_by_range_and_by_its_end(served):
    job = served.client.post("/v1/jobs", json={"kind": "verify", "collection": "drive"}).json()
    folder = served.service.job_folder(job["job_id"])
    where = f"/v1/jobs/{job['job_id']}/log"
    assert served.client.get(where).text == ""
    folder.path.mkdir(parents=True)
    lines = [f"line {number}\n" for number in range(20_000)]
    folder.log.write_text("".join(lines))
    assert served.client.get(where).text == "".join(lines)
    assert served.client.get(where, headers={"Range": "bytes=5-8"}).content == b"0\nli"
    assert served.client.get(f"{where}?tail=3").text == "".join(lines[-3:])
    assert served.client.get(f"{where}?tail=10000").text == "".join(lines[-10_000:])


def test_artefacts_are_fetched_by_id(served):
    job = served.client.post("/v1/jobs", json={"kind": "report", "collection": "drive"}).json()
    folder = served.service.job_folder(job["job_id"])
    folder.artefacts.mkdir(parents=True)
    folder.attempt_folder(0).mkdir()
    (folder.artefacts / "report.html").write_bytes(b"<p>")
    from pipelines.service.jobs.runner import _artefacts, write_json

    write_json(folder.attempt_folder(0) / "artefacts.json", _artefacts(folder.artefacts))
    (listed,) = served.client.get(f"/v1/jobs/{job['job_id']}/artefacts").json()
    assert listed["sha256"] == hashlib.sha256(b"<p>").hexdigest()
    where = f"/v1/jobs/{job['job_id']}/artefacts/{listed['artefact_id']}"
    found = served.client.get(where)
    assert found.content == b"<p>"
    assert found.headers["content-disposition"] == 'attachment; filename="report.html"'
    assert served.client.get(where[:-16] + "0" * 16).status_code == 404


def test_a_mistaken_or_outdated_cursor_is_refused(served):
    where = f"{DRIVE}/search"
    query = {"where": "duration_s > 0", "top": 1}
    cursor = served.client.post(where, json=query).json()["next"]
    assert cursor
    assert served.client.post(where, json={**query, "after": cursor}).status_code == 200
    content = json.loads(zlib.decompress(base64.urlsafe_b64decode(cursor)))
    wrong = ["x", "e30", cursor[:-3], cursor[::-1], cursor + cursor, "\u20ac"]
    for name, value in content.items():
        for other in (None, -1, 10**30, "x", [], {"a": 1}, [value], float("nan")):
            changed = zlib.compress(json.dumps({**content, name: other}).encode())
            wrong.append(base64.urlsafe_b64encode(changed).decode())
    statuses = {served.client.post(where, json={**query, "after": w}).status_code for w in wrong}
    assert 422 in statuses
    assert statuses <= {200, 422}
    other_query = {**query, "where": "duration_s > 1", "after": cursor}
    assert served.client.post(where, json=other_query).status_code == 422
