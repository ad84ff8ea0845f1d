"""Jobs as processes: what ends with them, and what a server finds that was started after a kill."""

import json
import os
import signal
import sys
from pathlib import Path

import psutil
import pytest

from pipelines.service.schemas import JobRequest
from tests.pipelines.service.processes import STUBBORN, Server, alive


@pytest.fixture
def server(tmp_path) -> Server:
    return Server(tmp_path)


def test_a_job_ends_with_its_code_and_its_words(server):
    good = server.submit("print('hello')")
    some = server.submit("import sys; sys.exit(3)", "b")
    bad = server.submit("import os; os.kill(os.getpid(), 11)", "c")
    assert [server.ended(job).exit_code for job in (good, some, bad)] == [0, 3, -11]
    assert [server.queue.get(j.job_id).state for j in (good, some, bad)] == [
        "done", "done", "failed",
    ]  # fmt: skip
    assert server.log(good) == "hello\n"
    assert "signal 11" in server.queue.get(bad.job_id).error


@pytest.mark.skipif(sys.platform != "linux", reason="as Linux chooses what it kills")
def test_where_memory_runs_out_a_job_is_killed_and_not_the_server(server):
    job = server.submit("print(open('/proc/self/oom_score_adj').read())")
    assert server.ended(job).exit_code == 0
    assert int(server.log(job)) >= 500 > int(Path("/proc/self/oom_score_adj").read_text())


def test_what_cannot_be_started_fails_and_says_so(server):
    job_request = JobRequest(kind="verify", collection="a")
    job, _ = server.queue.submit("me", job_request, ["/no/such/program"], None, 10)
    assert server.ended(job).state == "failed"
    assert "/no/such/program" in server.queue.get(job.job_id).error


def test_a_job_is_the_same_for_the_next_server(server, tmp_path):
    job = server.submit("import time; time.sleep(1.5); print('once')")
    before = server.runner(job)
    after = Server(tmp_path)
    assert after.runner(job) == before
    assert after.ended(job).state == "done"
    assert after.queue.get(job.job_id).attempt == 1
    assert after.log(job) == "once\n"


def test_a_job_that_ended_while_no_server_ran_is_done(server, tmp_path):
    job = server.submit("print('once')")
    server.runner(job).wait(20)
    after = Server(tmp_path)
    assert after.ended(job).state == "done"
    assert after.log(job) == "once\n"


def test_a_server_that_died_before_it_started_the_job_starts_it_now(server, tmp_path):
    job = server.submit("print('once')")
    assert server.queue.start_next(1, 1).job_id == job.job_id
    after = Server(tmp_path)
    ended = after.ended(job)
    assert (ended.state, ended.attempt, ended.losses) == ("done", 2, 0)
    assert after.log(job) == "once\n"


def test_a_killed_runner_takes_the_command_along_and_the_job_starts_again(server, tmp_path):
    marks = tmp_path / "marks"
    code = f"import os, time; open({str(marks)!r}, 'a').write(f'{{os.getpid()}} '); time.sleep("
    job = server.submit(code + f"300 if len(open({str(marks)!r}).read().split()) == 1 else 0)")
    runner = server.runner(job)
    server.until(marks.exists)
    below = runner.children(recursive=True)
    runner.send_signal(signal.SIGKILL)
    ended = server.ended(job)
    assert (ended.state, ended.attempt, ended.losses) == ("done", 2, 1)
    assert len(marks.read_text().split()) == 2
    assert not alive(below)
    assert [e.kind for e in server.queue.events(job.job_id)] == [
        "queued", "started", "lost", "started", "done",
    ]  # fmt: skip


@pytest.mark.faults
@pytest.mark.parametrize("again", [False, True], ids=["same server", "next server"])
def test_a_cancel_leaves_no_descendant(server, tmp_path, again):
    job = server.submit(STUBBORN)
    runner = server.runner(job)
    server.until(lambda: "ready" in server.log(job))
    below = [runner, *runner.children(recursive=True)]
    assert len(alive(below)) == 5
    server.queue.cancel(job.job_id, "key:ann", "enough")
    server = Server(tmp_path) if again else server
    ended = server.ended(job)
    assert (ended.state, ended.cancelled_by, ended.cancel_reason) == (
        "cancelled", "key:ann", "enough",
    )  # fmt: skip
    assert not alive(below)


@pytest.mark.faults
def test_a_runner_that_hangs_is_killed_with_all_below_it(server):
    job = server.submit(STUBBORN)
    runner = server.runner(job)
    server.until(lambda: "ready" in server.log(job))
    below = [runner, *runner.children(recursive=True)]
    runner.send_signal(signal.SIGSTOP)
    server.queue.cancel(job.job_id, "me", "")
    assert server.ended(job).state == "cancelled"
    server.until(lambda: not alive(below), 3)


def test_a_job_is_cancelled_after_the_clock_was_set(server, monkeypatch):
    """The time at which a process started moves with the clock; its ticks since boot do not."""
    job = server.submit("import time; print('up', flush=True); time.sleep(300)")
    runner = server.runner(job)
    server.until(lambda: "up" in server.log(job))
    create_time = psutil.Process.create_time
    monkeypatch.setattr(psutil.Process, "create_time", lambda p: create_time(p) + 86_400)
    server.queue.cancel(job.job_id, "me", "")
    assert server.ended(job).state == "cancelled"
    server.until(lambda: not alive([runner]), 3)


def test_a_polite_end_is_waited_for(server):
    handler = "signal.signal(15, lambda *_: sys.exit(4))"
    words = f"import signal, sys, time; {handler}; print('up', flush=True); time.sleep(300)"
    job = server.submit(words)
    server.until(lambda: "up" in server.log(job))
    os.kill(server.runner(job).pid, signal.SIGTERM)
    assert (server.ended(job).state, server.ended(job).exit_code) == ("stopped", 4)


def test_artefacts_are_listed_with_their_digests(server):
    job = server.submit("import os; open(os.environ['PLACE'], 'w').write('x')")
    folder = server.folder(job)
    os.environ["PLACE"] = str(folder.artefacts / "made")
    try:
        server.ended(job)
    finally:
        del os.environ["PLACE"]
    (made,) = json.loads((folder.attempt_folder(1) / "artefacts.json").read_text())
    assert made["name"] == "made"
    assert made["sha256"] == "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"
