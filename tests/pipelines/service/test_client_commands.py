"""The commands that ask a server, and the Python client, against a server that runs real jobs."""

import contextlib
import re
import shutil
import threading
import time

import httpx2
import pytest
import uvicorn

from pipelines.service.app import create_app
from pipelines.service.client import Client, ServiceError
from pipelines.service.service import Service
from pipelines.service.settings import ServerLimits, ServerSettings


@pytest.fixture(scope="module")
def url(outputs, curated, tmp_path_factory):
    """A server of this process, on a port of its own."""
    root = tmp_path_factory.mktemp("served") / "root"
    shutil.copytree(outputs, root)  # jobs change it
    service = Service.at(
        ServerSettings(
            root=str(root),
            state=tmp_path_factory.mktemp("state"),
            sources={"videos": str(curated.videos)},
            profile=str(curated.profile),
            limits=ServerLimits(rate=1e6, burst=1_000_000),
        )
    )
    with running(service) as address:
        yield address


@contextlib.contextmanager
def running(service, lifespan="auto"):
    """The address of a server; with the lifespan `off` its jobs stay in the queue."""
    config = uvicorn.Config(
        create_app(service), port=0, log_level="warning", ws="none", lifespan=lifespan
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.02)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join()


def test_a_log_is_followed_over_silence_and_streams_that_end(outputs, tmp_path, monkeypatch):
    limits = ServerLimits(stream_s=0.5)
    service = Service.at(ServerSettings(root=str(outputs), state=tmp_path, limits=limits))
    monkeypatch.setattr("pipelines.service.client._SILENCE_S", 0.2)
    monkeypatch.setattr("pipelines.service.client._PAUSE_S", 0.05)
    with running(service, "off") as url, Client(url) as client:
        job_id = client.submit(kind="report", collection="drive")["job_id"]
        log = service.job_folder(job_id).log
        log.parent.mkdir(parents=True, exist_ok=True)

        def work():
            for text in ("one\ntw", "o\n", "three"):
                time.sleep(0.7)
                with log.open("a") as file:
                    file.write(text)
            client.cancel(job_id)

        worker = threading.Thread(target=work)
        worker.start()
        assert list(client.log(job_id, follow=True)) == ["one", "two", "three"]
        worker.join()
        assert client.wait(job_id)["state"] == "cancelled"
    monkeypatch.setattr("pipelines.service.client._PATIENCE_S", 0.0)
    with Client(url) as client, pytest.raises(ServiceError, match=url):
        list(client.log(job_id, follow=True))


@pytest.mark.parametrize("breaks", [False, True], ids=["ends", "breaks"])
def test_a_stream_that_does_not_last_is_opened_ever_more_rarely(monkeypatch, breaks):
    """On a clock that only sleeping moves."""
    now, pauses = [0.0], []

    def sleep(seconds):
        pauses.append(seconds)
        now[0] += seconds
        if len(pauses) == 30:
            raise KeyboardInterrupt

    class Broken(httpx2.SyncByteStream):
        def __iter__(self):
            if breaks:
                raise httpx2.RemoteProtocolError("peer closed connection")
            return iter(())

    def answer(request):
        return httpx2.Response(200, stream=Broken())

    monkeypatch.setattr("pipelines.service.client.time.monotonic", lambda: now[0])
    monkeypatch.setattr("pipelines.service.client.time.sleep", sleep)
    with Client("http://server") as client:
        client._http = httpx2.Client(
            base_url="http://server", transport=httpx2.MockTransport(answer)
        )
        error = ServiceError if breaks else KeyboardInterrupt
        with pytest.raises(error):
            client.wait("job")
    assert pauses[:5] == [1, 2, 4, 8, 10]
    assert sum(pauses) > (120 if breaks else 250)
    assert len(pauses) <= 30


@pytest.mark.parametrize(
    ("named", "pause_s"),
    [("7", 7), ("900", 30), (None, 1), ("Wed, 21 Oct 2026 07:28:00 GMT", 1)],
)
def test_a_request_that_is_put_off_is_repeated_after_the_time_that_is_named(
    monkeypatch, named, pause_s
):
    headers = {} if named is None else {"Retry-After": named}
    answers = iter([httpx2.Response(503, headers=headers), httpx2.Response(200, json=["drive"])])
    pauses = []
    monkeypatch.setattr("pipelines.service.client.time.sleep", pauses.append)
    with Client("http://server") as client:
        client._http = httpx2.Client(
            base_url="http://server", transport=httpx2.MockTransport(lambda _: next(answers))
        )
        assert client.collections() == ["drive"]
    assert pauses == [pause_s]


def test_a_log_that_is_put_off_is_requested_again(monkeypatch):
    answers = iter([httpx2.Response(429), httpx2.Response(200, text="one\ntwo\n")])
    monkeypatch.setattr("pipelines.service.client.time.sleep", lambda _: None)
    with Client("http://server") as client:
        client._http = httpx2.Client(
            base_url="http://server", transport=httpx2.MockTransport(lambda _: next(answers))
        )
        assert list(client.log("job")) == ["one", "two"]


def test_a_report_is_submitted_followed_and_fetched(url, reelmill):
    ended = reelmill("submit", "report", "drive", "--wait", "--server", url)
    assert ended.code == 0, ended
    job_id = ended.out.split()[0]
    assert "report:" in ended.out
    assert f"{job_id} report drive" in re.sub(" +", " ", reelmill("jobs", "--server", url).out)
    status = reelmill("status", job_id, "--server", url).out
    assert status.startswith("report drive: done")
    assert [line.split()[1] for line in status.splitlines()[1:]] == ["queued", "started", "done"]
    with Client(url) as client:
        (made,) = client.artefacts(job_id)
        assert made["name"] == "report.html"
        assert list(client.log(job_id, tail=1)) == list(client.log(job_id))[-1:]


@pytest.mark.slow
def test_a_new_selection_reports_its_step(url, reelmill):
    with Client(url) as client:
        bounds = {"duration_s.min": 0.1, "duration_s.max": 0.5}
        job_request = {"kind": "select", "collection": "drive", "settings": bounds}
        job = client.wait(client.submit(key="sel", **job_request)["job_id"])
        assert client.submit(key="sel", **job_request)["job_id"] == job["job_id"]
    assert job["state"] == "done"
    (step,) = job["steps"]
    assert (step["step"], step["done"], step["total"]) == ("select", 5, 5)
    assert step["counts"]["too_long"] > 0
    assert "select: 5/5 clips" in reelmill("status", job["job_id"], "--server", url).out
    again = reelmill("retry", job["job_id"], "--server", url)
    assert again.out.strip() == "queued"
    with Client(url) as client:
        assert client.wait(job["job_id"])["attempt"] == 2


def test_a_plan_is_shown_and_mistakes_are_reported(url, reelmill):
    plan = reelmill("submit", "curate", "drive", "videos", "--dry-run", "--server", url)
    assert '"new_inputs": 0' in plan.out
    wrong = reelmill("submit", "curate", "drive", "/etc", "--server", url)
    assert wrong.code == 2
    assert "names no source; the sources are: videos" in wrong.err
    nobody = reelmill("jobs", "--server", "http://127.0.0.1:1")
    assert nobody.code == 2
    assert "http://127.0.0.1:1" in nobody.err


def test_a_job_that_has_ended_cannot_be_cancelled(url, reelmill):
    with Client(url) as client:
        job = client.wait(client.submit(kind="verify", collection="drive")["job_id"])
        with pytest.raises(ServiceError, match="has ended"):
            client.cancel(job["job_id"])
    assert reelmill("cancel", job["job_id"], "--server", url).code == 2
    assert "holds" in reelmill("logs", job["job_id"], "--server", url).out


def test_keys_are_created_listed_and_revoked(tmp_path, reelmill):
    made = reelmill("key", "create", tmp_path, "--scope", "search", "--name", "[bold]web")
    assert re.fullmatch(r"reelmill_[0-9a-f]{64}\n", made.out)
    listed = reelmill("key", "list", tmp_path).out
    assert "[bold]web" in listed
    assert made.out.strip() not in listed
    key_id = listed.splitlines()[1].split()[0]
    assert reelmill("key", "revoke", tmp_path, key_id).code == 0
    assert reelmill("key", "revoke", tmp_path, key_id).code == 2


def test_a_server_that_can_be_reached_from_elsewhere_needs_a_key(tmp_path, reelmill):
    ended = reelmill("serve", tmp_path, "--host", "0.0.0.0", "--port", 0)
    assert ended.code == 2
    assert "reelmill key create" in ended.err


def test_two_servers_do_not_share_their_state(tmp_path, reelmill):
    from pipelines.service.service import lock_state

    state = tmp_path / ".reelmill"
    lock = lock_state(state)
    try:
        ended = reelmill("serve", tmp_path, "--port", 0)
    finally:
        import os

        os.close(lock)
    assert ended.code == 2
    assert "another server uses" in ended.err


@pytest.mark.parametrize("text", ["- a list", "env_vars: [1]", "{", None])
def test_a_runtime_environment_that_is_none_is_refused(reelmill, tmp_path, text):
    if text is not None:
        (tmp_path / "environment.yaml").write_text(text)
    ended = reelmill(
        "serve", tmp_path, "--ray-jobs", "http://127.0.0.1:1",
        "--ray-env", tmp_path / "environment.yaml",
    )  # fmt: skip
    assert ended.code == 2
    assert "--ray-env" in ended.err
