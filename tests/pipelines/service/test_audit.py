"""The audit log: who was refused and why, who changed what, and what was deleted by age."""

import json
import os
import time
from datetime import timedelta
from pathlib import Path

import pytest

from pipelines.service import audit
from pipelines.service.audit import AuditLog
from pipelines.service.database import Database, timestamp
from pipelines.service.jobs.retention import Retention
from pipelines.service.middleware import UNCHANGING
from pipelines.service.service import database_file
from pipelines.service.settings import ServerLimits
from tests.pipelines.service.test_security import FREE, sign_in

CHANGING = {
    "/v1/session", "/v1/jobs", "/v1/jobs/{job_id}/cancel", "/v1/jobs/{job_id}/retry",
    "/v1/collections/{name}/subsets", "/v1/collections/{name}/reviews",
}  # fmt: skip
VERIFY = {"kind": "verify", "collection": "drive"}


def lines(served) -> list[dict]:
    path = served.service.settings.state / "audit.jsonl"
    return [json.loads(line) for line in path.open()]


def test_every_route_that_changes_something_is_audited(served):
    routes = [r for r in served.client.app.routes if r.methods & {"POST", "DELETE", "PUT", "PATCH"}]
    assert {route.path for route in routes} == UNCHANGING | CHANGING
    assert not UNCHANGING & CHANGING


def test_changes_are_recorded_with_who_and_what(served):
    secret = served.service.api_keys.create("submit")
    key = f"key:{served.service.api_keys.all()[0].key_id}"
    headers = {"Authorization": f"Bearer {secret}"}
    job = served.client.post("/v1/jobs", json=VERIFY, headers=headers).json()["job_id"]
    served.client.post("/v1/plan", json=VERIFY, headers=headers)
    served.client.get("/v1/jobs", headers=headers)
    served.client.post(f"/v1/jobs/{job}/cancel", headers=headers)
    cookie = sign_in(served, secret)
    served.client.delete("/v1/session", headers={"Cookie": cookie})
    recorded = [(x["caller"], x["method"], x["path"], x["status"]) for x in lines(served)]
    assert recorded == [
        (key, "POST", "/v1/jobs", 201),
        (key, "POST", f"/v1/jobs/{job}/cancel", 200),
        (key, "POST", "/v1/session", 204),
        (key, "DELETE", "/v1/session", 204),
    ]
    assert lines(served)[0]["detail"] == f"/v1/jobs/{job}"
    text = (served.service.settings.state / "audit.jsonl").read_text()
    assert secret not in text
    assert cookie.partition("=")[2] not in text


def test_refusals_are_recorded_with_reason_and_address(serve):
    served = serve(ServerLimits(rate=0.001, burst=6))
    client, headers = served.client, served.headers("read")
    client.get("/v1/jobs")
    client.get("/v1/jobs", headers={"Host": "evil.example\n"[:12]})
    client.post("/v1/jobs", json=VERIFY, headers=headers)
    client.post("/v1/jobs", json=VERIFY, headers={"Origin": "http://evil.example"})
    client.post("/v1/jobs", content=b" " * 10_000)
    for _ in range(5):
        client.get("/v1/jobs", headers=headers)
    client.get("/v1/jobs?limit=x", headers=headers)
    recorded = lines(served)
    assert [line["status"] for line in recorded] == [401, 421, 403, 403, 401, 429]
    assert all(line["detail"] and line["address"] == "testclient" for line in recorded)
    assert "scope is too low" in recorded[2]["detail"] or "submit" in recorded[2]["detail"]
    assert recorded[2]["caller"].startswith("key:")
    assert "caller" not in recorded[3]


def test_a_flood_of_refusals_is_counted_and_not_written(tmp_path, monkeypatch):
    monkeypatch.setattr(audit, "_PER_ADDRESS", (1e-6, 5))
    monkeypatch.setattr(audit, "_OVERALL", (1e-6, 12))
    log = AuditLog(tmp_path / "audit.jsonl")
    for number in range(400):
        log.record_refusal(f"192.0.2.{number % 4}", 401, "no key" * 1000)
    log.record(caller="server", detail="x")
    recorded = [json.loads(line) for line in (tmp_path / "audit.jsonl").open()]
    assert len(recorded) == 13
    assert recorded[-1]["unrecorded"] == 388
    assert max(len(line["detail"]) for line in recorded) <= 300


def test_the_log_is_rotated_and_outlives_a_full_disk(tmp_path, monkeypatch, small_disk):
    monkeypatch.setattr(audit, "_MAX_BYTES", 10_000)
    monkeypatch.setattr(audit, "_MAX_FILES", 3)
    (tmp_path / "logs").mkdir()
    log = AuditLog(tmp_path / "logs" / "audit.jsonl")
    for number in range(1000):
        log.record(number=number)
    files = sorted((tmp_path / "logs").iterdir())
    assert [file.name for file in files] == ["audit.jsonl", "audit.jsonl.1", "audit.jsonl.2"]
    assert sum(file.stat().st_size for file in files) <= 30_000
    assert json.loads(files[0].read_text().splitlines()[-1])["number"] == 999
    filler = small_disk / "filler"
    with pytest.raises(OSError, match="No space left"):
        filler.write_bytes(b"x" * (4 << 20))
    for number in range(1000):
        log.record(number=number)
    filler.unlink()
    log.record(number=-1)
    assert json.loads(files[0].read_text().splitlines()[-1])["number"] == -1
    log.close()


def test_old_jobs_and_previews_go_and_the_log_names_them(serve):
    served = serve(FREE, keep_days=30.0)
    service = served.service
    ids = {}
    for name in ("old", "recent", "running", "queued"):
        answer = served.client.post("/v1/jobs", json=VERIFY, headers={"Idempotency-Key": name})
        ids[name] = answer.json()["job_id"]
    jobs, previews = service.settings.state / "jobs", Path(service.settings.state / "previews")
    before = timestamp(-timedelta(days=40))
    with Database(database_file(service.settings.state)).transaction() as connection:
        for name, state, ended in (
            ("old", "done", before), ("recent", "failed", timestamp()), ("running", "running", None)
        ):  # fmt: skip
            connection.execute(
                "UPDATE jobs SET state = ?, ended = ?, created = ?, started = ?, attempt = 1"
                " WHERE job_id = ?",
                (state, ended, before, before, ids[name]),
            )
    long_ago = time.time() - 40 * 86_400
    for job_id in (*ids.values(), "0123456789abcdef"):
        (jobs / job_id / "artefacts").mkdir(parents=True)
        (jobs / job_id / "log").write_text("x")
        os.utime(jobs / job_id, (long_ago, long_ago))
    previews.mkdir(exist_ok=True)
    for name, at in (("a.mp4", long_ago), ("b.mp4", time.time())):
        (previews / name).write_text("x")
        os.utime(previews / name, (at, at))
    start = len(lines(served))
    retention = Retention(30.0, service.queue, jobs, service.previews, service.audit)
    retention.tick()
    assert {path.name for path in jobs.iterdir()} == set(ids.values()) - {ids["old"]}
    assert [path.name for path in previews.iterdir()] == ["b.mp4"]
    assert served.client.get(f"/v1/jobs/{ids['old']}").status_code == 404
    assert served.client.get(f"/v1/jobs/{ids['recent']}").status_code == 200
    deleted = lines(served)[start:]
    assert [(x.get("job"), x.get("state"), x.get("previews")) for x in deleted] == [
        (ids["old"], "done", None), (None, None, 1),
    ]  # fmt: skip
    again = served.client.post("/v1/jobs", json=VERIFY, headers={"Idempotency-Key": "old"})
    assert again.status_code == 201, "its key is free again"
    retention.tick()
    assert len(lines(served)) == start + 3, "the next round is due in an hour"


def test_without_a_number_of_days_everything_is_kept(serve):
    service = serve(FREE, keep_days=None).service
    jobs = service.settings.state / "jobs"
    (jobs / "0123456789abcdef").mkdir(parents=True)
    os.utime(jobs / "0123456789abcdef", (0, 0))
    Retention(None, service.queue, jobs, service.previews, service.audit).tick()
    assert (jobs / "0123456789abcdef").exists()
