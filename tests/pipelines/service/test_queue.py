"""The queue: what may be asked for, in which order it starts, and that a key makes one job."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from pipelines.service.database import Database
from pipelines.service.jobs.queue import MAX_LOSSES, JobQueue, QueueError
from pipelines.service.schemas import JobRequest
from pipelines.service.settings import ServerLimits

FREE = ServerLimits(rate=1e6, burst=1_000_000)

VERIFY = {"kind": "verify", "collection": "drive"}


@pytest.fixture
def queue(tmp_path) -> JobQueue:
    return JobQueue(Database(tmp_path / "service.db"))


def submit(queue, collection="a", owner="me", **fields) -> str:
    request = JobRequest(kind="verify", collection=collection, **fields)
    return queue.submit(owner, request, ["true", "{job}"], None, 1000)[0].job_id


@pytest.mark.slow
def test_a_thousand_submissions_with_one_key_make_one_job(served):
    barrier = threading.Barrier(50)

    def post(number: int):
        if number < 50:
            barrier.wait()
        return served.client.post("/v1/jobs", json=VERIFY, headers={"Idempotency-Key": "one"})

    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(post, range(1000)))
    assert sorted({answer.status_code for answer in answers}) == [200, 201]
    assert sum(answer.status_code == 201 for answer in answers) == 1
    assert len({answer.json()["job_id"] for answer in answers}) == 1
    assert len(served.client.get("/v1/jobs").json()["jobs"]) == 1


def test_an_idempotency_key_is_for_one_request(served):
    headers = {"Idempotency-Key": "k"}
    assert served.client.post("/v1/jobs", json=VERIFY, headers=headers).status_code == 201
    other = served.client.post("/v1/jobs", json={**VERIFY, "priority": 1}, headers=headers)
    assert other.status_code == 422
    assert "Idempotency-Key" in other.json()["detail"]


def test_too_many_waiting_jobs_are_put_off(serve):
    served = serve(replace(FREE, queued_per_caller=2))
    codes = [served.client.post("/v1/jobs", json=VERIFY).status_code for _ in range(3)]
    assert codes == [201, 201, 429]
    assert served.client.post("/v1/jobs", json=VERIFY).headers["retry-after"] == "5"


def test_the_highest_priority_starts_first_then_the_oldest(queue):
    low, first, second, high = (
        submit(queue, str(n), priority=p) for n, p in enumerate((-1, 0, 0, 5))
    )
    started = [queue.start_next(10, 10) for _ in range(4)]
    assert [job.job_id for job in started if job] == [high, first, second, low]
    assert queue.start_next(10, 10) is None


def test_room_is_shared_by_collection_and_owner(queue):
    one = submit(queue, "a", "ann")
    submit(queue, "a", "bob")
    submit(queue, "b", "ann")
    other = submit(queue, "c", "bob")
    started = [queue.start_next(3, 1) for _ in range(3)]
    assert [job and job.job_id for job in started] == [one, other, None]
    queue.finish(queue.get(one), 0)
    assert queue.start_next(2, 1).collection == "b"


def test_callers_take_turns_however_many_jobs_one_of_them_has_queued(queue):
    for number in range(30):
        submit(queue, f"a{number}", "ann")
    for number in range(2):
        submit(queue, f"b{number}", "bob")
    submit(queue, "c", "eve", priority=-1)
    owners = []
    for _ in range(6):
        job = queue.start_next(1, 4)
        owners.append(job.owner)
        queue.finish(job, 0)
    assert owners == ["ann", "bob", "ann", "bob", "ann", "ann"]
    first = queue.start_next(2, 4)
    submit(queue, "b3", "bob")
    assert (first.owner, queue.start_next(2, 4).owner) == ("ann", "bob"), "who has fewest running"


@pytest.mark.parametrize(
    ("code", "state"), [(0, "done"), (3, "done"), (4, "stopped"), (1, "failed"), (-9, "failed")]
)
def test_exit_codes_are_states(queue, code, state):
    job_id = submit(queue)
    queue.finish(queue.start_next(1, 1), code)
    job = queue.get(job_id)
    assert (job.state, job.exit_code) == (state, code)
    assert bool(job.error) == (state != "done")


def test_a_cancel_names_who_and_why_and_comes_once(queue):
    waiting, running = submit(queue, "a", priority=-1), submit(queue, "b")
    queue.start_next(1, 1)
    assert queue.cancel(waiting, "key:ann", "not needed").state == "cancelled"
    job = queue.cancel(running, "key:bob", "wrong folder")
    assert (job.state, job.cancelled_by, job.cancel_reason) == (
        "cancelling", "key:bob", "wrong folder",
    )  # fmt: skip
    assert queue.cancel(running, "key:eve", "me too").cancelled_by == "key:bob"
    queue.finish(queue.get(running), 4)
    assert queue.get(running).state == "cancelled"
    kinds = [(event.kind, event.who) for event in queue.events(running)]
    assert kinds == [
        ("queued", "me"), ("started", "server"), ("cancel", "key:bob"), ("cancelled", "server"),
    ]  # fmt: skip


def test_a_cancel_after_the_end_is_refused(queue):
    job_id = submit(queue)
    queue.start_next(1, 1)
    queue.cancel(job_id, "me", "")
    queue.finish(queue.get(job_id), 0)
    assert queue.get(job_id).state == "done"
    with pytest.raises(QueueError, match="it is done"):
        queue.cancel(job_id, "me", "")


def test_lost_jobs_are_queued_again_but_not_for_ever(queue):
    job_id = submit(queue)
    for _ in range(MAX_LOSSES):
        queue.mark_lost(queue.start_next(1, 1), was_started=True)
        assert queue.get(job_id).state == "queued"
    queue.mark_lost(queue.start_next(1, 1), was_started=True)
    assert queue.get(job_id).state == "failed"
    assert queue.retry(job_id, "me", 10).state == "queued"
    assert queue.start_next(1, 1).attempt == MAX_LOSSES + 2


def test_an_old_attempt_says_nothing_of_a_newer_one(queue):
    job_id = submit(queue)
    stale = queue.start_next(1, 1)
    queue.mark_lost(stale, was_started=True)
    queue.start_next(1, 1)
    queue.finish(stale, 0)
    assert queue.get(job_id).state == "running"


def test_commits_survive_a_restart(queue, tmp_path):
    job_id = submit(queue, priority=3)
    again = JobQueue(Database(tmp_path / "service.db"))
    assert again.get(job_id) == queue.get(job_id)
    assert [event.kind for event in again.events(job_id)] == ["queued"]
