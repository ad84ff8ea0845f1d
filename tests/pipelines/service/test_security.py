"""Protection of the data: keys, scopes, hosts, origins, limits, inputs and settings."""

import asyncio
import json
import re
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from fastapi import HTTPException
from fastapi.routing import APIRoute

from curation.sql_filter import Interruption
from curation.storage import Storage
from pipelines.service.api_keys import Caller
from pipelines.service.auth import Public, RequireScope
from pipelines.service.byte_ranges import file_response
from pipelines.service.computations import Computations
from pipelines.service.connections import client_network
from pipelines.service.database import Database, timestamp
from pipelines.service.middleware import Rejection, check_json
from pipelines.service.rate_limit import RateLimiter
from pipelines.service.service import database_file
from pipelines.service.settings import ServerLimits
from tests.outputs import ROOT

FREE = ServerLimits(rate=1e6, burst=1_000_000)
OPEN = {"/", "/healthz", "/page/{file}", "/v1/session"}
"""Routes that need no API key: they reveal nothing about the data."""
JOBS = {"kind": "curate", "collection": "new", "inputs": ["videos"]}


def checks(route) -> list:
    result, pending = [], [route.dependant]
    while pending:
        dependant = pending.pop()
        pending += dependant.dependencies
        result += [dependant.call] if isinstance(dependant.call, RequireScope | Public) else []
    return result


def test_no_route_goes_without_a_check(served):
    routes = served.client.app.routes
    assert len(routes) > 20
    for route in routes:
        assert isinstance(route, APIRoute), route
        (check,) = checks(route)
        assert isinstance(check, Public) == (route.path in OPEN), route.path
        if route.methods & {"POST", "DELETE"} and isinstance(check, RequireScope):
            assert check.scope in ("search", "submit", "admin"), route.path


def test_the_documentation_names_the_scope_of_every_route(served):
    documented = {}
    for line in (ROOT / "docs/security.md").read_text(encoding="utf-8").splitlines():
        scope, _, routes = line.removeprefix("| ").partition(" | ")
        if line.startswith("| ") and routes.startswith("`"):
            names = re.findall(r"`((?:GET|POST|DELETE) /\S*)`", routes)
            documented |= dict.fromkeys(names, scope.strip("`"))
    actual = {
        f"{method} {route.path}": getattr(check, "scope", "without a key")
        for route in served.client.app.routes
        for check in checks(route)
        for method in route.methods
    }
    assert documented == actual


def test_without_a_key_only_health_answers(served):
    served.service.api_keys.create("admin")
    for route in served.client.app.routes:
        path = route.path.replace("{name}", "drive")
        for part in ("{job_id}", "{clip_id}", "{artefact_id}"):
            path = path.replace(part, "0123456789abcdef")
        for method in route.methods:
            if route.path not in OPEN:
                answer = served.client.request(method, path)
                assert answer.status_code == 401, (method, path)
                assert answer.headers["www-authenticate"] == "Bearer"
    assert served.client.get("/healthz").json() == {"status": "ok"}


@pytest.mark.parametrize(
    ("scope", "allowed"),
    [("read", (200, 403, 403)), ("search", (200, 200, 403)), ("submit", (200, 200, 201))],
)
def test_a_scope_reaches_so_far(served, scope, allowed):
    headers = served.headers(scope)
    requests = [
        ("GET", "/v1/collections/drive/clips", None),
        ("POST", "/v1/collections/drive/search", {"where": "duration_s > 0"}),
        ("POST", "/v1/jobs", {"kind": "verify", "collection": "drive"}),
    ]
    codes = [
        served.client.request(m, p, json=j, headers=headers).status_code for m, p, j in requests
    ]
    assert tuple(codes) == allowed


def test_keys_are_stored_as_hashes_expire_and_are_revoked(served):
    keys = served.service.api_keys
    secret = keys.create("read", "web")
    state = served.service.settings.state
    stored = b"".join(path.read_bytes() for path in state.glob("service.db*"))
    assert secret.encode() not in stored
    assert keys.find(secret).scope == "read"
    assert keys.find(secret[:-1] + ("0" if secret[-1] != "0" else "1")) is None
    assert keys.find(keys.create("read", days=-1)) is None
    assert keys.revoke(keys.all()[0].key_id)
    assert keys.find(secret) is None


def test_a_server_beyond_loopback_requires_a_key(serve):
    served = serve(host="0.0.0.0")
    assert served.client.get("/v1/collections").status_code == 401
    assert served.client.get("/v1/collections", headers=served.headers("read")).status_code == 200


def sign_in(served, secret: str) -> str:
    """The cookie header of a browser that has signed in."""
    answer = served.client.post("/v1/session", json={"key": secret})
    assert answer.status_code == 204
    served.client.cookies.clear()
    return answer.headers["set-cookie"].partition(";")[0]


def test_a_cookie_names_a_session_and_never_holds_the_key(served):
    secret = served.service.api_keys.create("read")
    assert served.client.post("/v1/session", json={"key": "guess"}).status_code == 401
    made = served.client.post("/v1/session", json={"key": secret})
    cookie = made.headers["set-cookie"].lower()
    for word in ("httponly", "samesite=strict", "max-age=604800", "path=/"):
        assert word in cookie
    assert secret not in cookie
    assert secret.removeprefix("reelmill_") not in cookie
    assert served.client.get("/v1/me").json()["scope"] == "read"
    session = cookie.partition("=")[2].partition(";")[0]
    state = served.service.settings.state
    stored = b"".join(path.read_bytes() for path in state.glob("service.db*"))
    assert session.encode() not in stored


def test_a_cookie_is_for_https_alone_where_that_is_spoken(served):
    secret = served.service.api_keys.create("read")
    for scheme in ("http", "https"):
        answer = served.client.post(f"{scheme}://testserver/v1/session", json={"key": secret})
        assert ("secure" in answer.headers["set-cookie"].lower()) == (scheme == "https")


@pytest.mark.parametrize("end", ["sign out", "revoke", "expire", "one of many"])
def test_a_session_ends(served, end):
    keys = served.service.api_keys
    headers = {"Cookie": sign_in(served, secret := keys.create("read"))}
    assert served.client.get("/v1/me", headers=headers).status_code == 200
    if end == "sign out":
        assert served.client.delete("/v1/session", headers=headers).status_code == 204
    elif end == "revoke":
        assert keys.revoke(keys.all()[0].key_id)
    elif end == "expire":
        database = Database(database_file(served.service.settings.state))
        with database.transaction() as connection:
            connection.execute("UPDATE sessions SET expires = ?", (timestamp(),))
    else:
        for _ in range(50):
            assert keys.start_session(secret)
    assert served.client.get("/v1/me", headers=headers).status_code == 401


def test_an_ipv6_host_is_one_address():
    assert client_network("192.0.2.1") == "192.0.2.1"
    assert client_network("2001:db8::1") == client_network("2001:db8::ffff:1")
    assert client_network("2001:db8::1") != client_network("2001:db8:0:1::1")
    assert client_network("fe80::1%eth0") == client_network("fe80::2%eth0")


def test_jobs_of_others_are_changed_by_an_admin_alone(served):
    job_request = {"kind": "verify", "collection": "drive"}
    job = served.client.post("/v1/jobs", json=job_request, headers=served.headers("submit")).json()
    where = f"/v1/jobs/{job['job_id']}/cancel"
    assert served.client.post(where, headers=served.headers("submit")).status_code == 403
    assert served.client.post(where, headers=served.headers("admin")).json()["state"] == "cancelled"


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8470", "127.0.0.1.evil", "", "[x"])
def test_a_rebound_name_is_refused(served, host):
    assert served.client.get("/v1/collections", headers={"Host": host}).status_code == 421


@pytest.mark.parametrize("host", ["127.0.0.1:8470", "localhost", "[::1]:8470", "testserver"])
def test_the_servers_own_names_are_not(served, host):
    assert served.client.get("/v1/collections", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [{"Origin": "http://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}],
)
def test_pages_of_others_change_nothing(served, headers):
    job_request = {"kind": "verify", "collection": "drive"}
    assert served.client.post("/v1/jobs", json=job_request, headers=headers).status_code == 403
    own = {"Origin": "http://testserver", "Sec-Fetch-Site": "same-origin"}
    assert served.client.post("/v1/jobs", json=job_request, headers=own).status_code == 201


@pytest.mark.parametrize("path", ["/healthz", "/v1/collections", "/nothing", "/v1/jobs/x"])
def test_every_answer_carries_the_headers(served, path):
    headers = served.client.get(path).headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert "access-control-allow-origin" not in headers


def test_over_the_rate_comes_429_with_the_time_to_wait(serve):
    served = serve(ServerLimits(rate=0.5, burst=3))
    codes = [served.client.get("/v1/collections").status_code for _ in range(5)]
    assert codes == [200, 200, 200, 429, 429]
    assert served.client.get("/v1/collections").headers["retry-after"] == "2"


def test_a_bucket_fills_up_again():
    now = [0.0]
    limiter = RateLimiter(2.0, 2, max_callers=2, clock=lambda: now[0])
    assert [limiter.take("a") for _ in range(3)] == [0, 0, 0.5]
    assert limiter.take("b") == 0
    now[0] = 0.5
    assert [limiter.take("a") for _ in range(2)] == [0, 0.5]
    limiter.take("c")
    assert [limiter.take("b") for _ in range(3)] == [0, 0, 0.5], "forgotten: it starts again"


def test_long_and_deep_bodies_are_refused(serve):
    served = serve(replace(FREE, body_bytes=1000))
    assert served.client.post("/v1/jobs", content=b" " * 1001).status_code == 413
    parts = (b" " * 400 for _ in range(4))
    assert served.client.post("/v1/jobs", content=parts).status_code == 413
    deep = b"[" * 50 + b"]" * 50
    headers = {"Content-Type": "application/json"}
    assert served.client.post("/v1/jobs", content=deep, headers=headers).status_code == 422


def test_a_body_of_backslashes_is_judged_at_once(serve):
    """Two patterns over one text once took time with the square of its length."""
    served = serve(FREE)
    served.service.api_keys.create("admin")
    headers = {"Content-Type": "application/json"}
    bodies = (
        b'"' + b'\\"' * 30_000, b'\\"' * 32_000, b'"' + b"\\" * 60_000, b"[" + b'"' * 60_000
    )  # fmt: skip
    for body in bodies:
        started = time.process_time()
        check_json(body, 30, 1000)
        assert time.process_time() - started < 2, "0.05 on a slow machine"
        answer = served.client.post("/v1/jobs", content=body, headers=headers)
        assert answer.status_code == 401, "without a key a body is as short as signing in takes"
    answer = served.client.post("/v1/session", json={"key": "x" * 100}, headers=headers)
    assert answer.status_code == 401


@pytest.mark.parametrize(
    "body",
    [
        b"{" + b",".join(b'"%x":1' % n for n in range(28_000)) + b"}",
        b'{"kind":"verify","collection":"a","settings":{"x":[' + b"1," * 120_000 + b"1]}}",
        b'{"kind":"verify","collection":"a","settings":{"x":[' + b"1," * 4000 + b"1]}}",
    ],
)
def test_thousands_of_mistakes_are_not_explained_one_by_one(served, body):
    """Each would take a second of the event loop, and megabytes of response."""
    headers = {"Content-Type": "application/json"}
    answer = served.client.post("/v1/jobs", content=body, headers=headers)
    assert answer.status_code == 422
    assert len(answer.content) < 10_000


def test_depth_is_counted_outside_of_text():
    check_json(rb'["[[[[[", "\"[[[[[", "\\", {"a": [1]}]', 3, 10)
    check_json(b'[], "[[[[[\\', 1, 10)
    for body in (rb'["\\", [[1]]]', rb'["\\\\"[[[', b"[[[", b'""[""[""{'):
        with pytest.raises(Rejection, match="2 deep"):
            check_json(body, 2, 10)
    with pytest.raises(Rejection, match="3 values"):
        check_json(b'["a,b,c,d,e", 1, 2, 3]', 2, 3)


def test_an_answer_that_takes_too_long_is_put_off(serve, monkeypatch):
    served = serve(replace(FREE, response_s=0.1))
    monkeypatch.setattr(type(served.service.outputs), "names", lambda _: time.sleep(0.6) or [])
    answer = served.client.get("/v1/collections")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "10")


@pytest.mark.parametrize(
    "place",
    [
        "/etc/passwd", "etc", "videos/../..", "videos/./x", "../videos", "http://169.254.169.254/",
        "s3://bucket/x", "file:///etc/passwd", "videos/out", "videos/missing.mp4",
        "videos/list.csv", "videos/folder.csv", "videos/-x", "videos/\u0000", "", "videos/\ud800",
    ],
)  # fmt: skip
def test_inputs_lie_below_the_configured_sources(serve, curated, tmp_path, place):
    folder = tmp_path / "videos"
    folder.mkdir()
    (folder / "out").symlink_to("/etc")
    (folder / "list.csv").write_text("path\n/etc/passwd\n")
    (folder / "folder.csv").mkdir()
    served = serve(sources={"videos": str(folder)})
    headers = {"Content-Type": "application/json"}
    job_request = json.dumps(
        {**JOBS, "inputs": [place]}
    )  # httpx itself would refuse half a character
    answer = served.client.post("/v1/jobs", content=job_request, headers=headers)
    assert answer.status_code == 422, answer.text
    assert served.client.get("/v1/jobs").json()["jobs"] == []


@pytest.mark.parametrize(
    "changes",
    [
        {"execution.address": "evil:6379"}, {"address": "evil:6379"}, {"executor": "ray"},
        {"sandbox.memory_mb": 1}, {"tokenizer": "/etc/passwd"}, {"tokenizer": "diffusers:a/b"},
        {"captioner": "ApiCaption", "ApiCaption.url": "http://169.254.169.254/"}, {"nonsense": 1},
        {"motion.min": "much"}, {"embedders": ["x"]}, {"semantic.embedding": "../../elsewhere"},
        {"tokenizer": "pca-٤x8x8"},
    ],
)  # fmt: skip
def test_settings_that_reach_further_are_for_admins(served, changes):
    answer = served.client.post(
        "/v1/jobs", json={**JOBS, "settings": changes}, headers=served.headers("submit")
    )
    assert answer.status_code == 422, answer.text
    is_of_all = changes.keys() <= {"nonsense", "motion.min", "semantic.embedding"}
    assert ("can be changed by an admin only" in answer.text) != is_of_all


def test_links_lead_out_of_no_source(serve, tmp_path):
    (tmp_path / "videos").mkdir()
    (tmp_path / "secret.mp4").write_bytes(b"secret")
    (tmp_path / "videos" / "link.mp4").symlink_to(tmp_path / "secret.mp4")
    (tmp_path / "videos" / "own.mp4").write_bytes(b"own")
    (tmp_path / "videos" / "again.mp4").symlink_to("own.mp4")
    served = serve(sources={"videos": str(tmp_path / "videos")})
    plan = served.client.post("/v1/plan", json=JOBS).json()
    assert (plan["inputs"], "--no-follow-links" in plan["command"]) == (2, True)
    (tmp_path / "videos" / "folder").symlink_to("/etc")
    answer = served.client.post("/v1/plan", json={**JOBS, "inputs": ["videos/folder"]})
    assert (answer.status_code, "leads out" in answer.text) == (422, True)


def test_tables_that_were_tampered_with_lead_to_no_file_of_the_server(serve, served, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "secret").write_text("hunter2")
    (tmp_path / "out" / "link.mp4").symlink_to("../secret")
    for path in ("../secret", str(tmp_path / "secret"), "link.mp4", "../../../../etc/passwd"):
        with pytest.raises(HTTPException, match="404"):
            file_response(Storage.at(tmp_path / "out"), path, None, "video/mp4")
    source = served.client.get("/v1/collections/drive/sources").json()["sources"][0]["source_id"]
    url = f"/v1/collections/drive/sources/{source}/video"
    assert served.client.get(url).status_code == 200
    assert serve(sources={"others": str(tmp_path)}).client.get(url).status_code == 403


@pytest.mark.parametrize("scope", ["submit", "admin"])
@pytest.mark.parametrize(
    "changes",
    [
        {"policy.include": "SECRET"}, {"exclude": "SECRET"}, {"tokenizer": "SECRET.safetensors"},
        {"tokenizer": "cosmos:SECRET"}, {"embedders": ["OpenClip"]}, {"blur_faces": ["SECRET"]},
        {"scores": ["Faces"]}, {"captioner": "VlmCaption", "VlmCaption.model": "SECRET"},
    ],
)  # fmt: skip
def test_a_server_opens_and_loads_nothing_that_a_request_names(
    served, tmp_path, monkeypatch, scope, changes
):
    secret = tmp_path / "secret"
    for name in (secret, secret.with_suffix(".safetensors")):
        name.write_text("hunter2\n")
    opened: list[str] = []
    watches = [True]

    def watch(event: str, arguments: tuple) -> None:
        if (
            watches
            and event in ("open", "os.listdir", "os.scandir")
            and str(secret) in str(arguments[0])
        ):
            opened.append(f"{event} {arguments[0]}")

    sys.addaudithook(watch)
    monkeypatch.setattr(
        "pipelines.config.profile.load_tokenizer", lambda *_: pytest.fail("a model is loaded")
    )
    settings = json.loads(json.dumps(changes).replace("SECRET", str(secret)))
    for path in ("/v1/plan", "/v1/jobs"):
        answer = served.client.post(
            path, json={**JOBS, "settings": settings}, headers=served.headers(scope)
        )
        assert "hunter2" not in answer.text
        if scope == "submit" and changes != {"scores": ["Faces"]}:
            assert answer.status_code == 422, answer.text
    watches.clear()
    assert opened == []


def test_settings_of_the_data_are_free(served):
    job_request = {**JOBS, "settings": {"motion.min": 0.02, "tokenizer": "pca-4x8x8", "crf": 20}}
    headers = served.headers("submit")
    answer = served.client.post("/v1/jobs", json=job_request, headers=headers)
    assert answer.status_code == 201, answer.text
    plan = served.client.post("/v1/plan", json=job_request, headers=headers).json()
    assert plan["config"]["policy"]["limits"]["motion"]["min"] == 0.02
    assert plan["command"][:3] == ["reelmill", "curate", "videos"]
    assert (plan["inputs"], plan["new_inputs"], plan["measured_on"]) == (4, 4, ["drive"])
    assert plan["seconds"] == pytest.approx(sum(s["seconds"] for s in plan["steps"].values()))
    again = {"kind": "curate", "collection": "drive", "inputs": ["videos"]}
    assert served.client.post("/v1/plan", json=again, headers=headers).json()["new_inputs"] == 0


def test_a_priority_above_the_normal_one_is_for_admins(served):
    urgent = {"kind": "verify", "collection": "drive", "priority": 1}
    later = {**urgent, "priority": -1}
    for scope, codes in (("submit", (403, 201)), ("admin", (201, 201))):
        headers = served.headers(scope)
        posts = [served.client.post("/v1/jobs", json=j, headers=headers) for j in (urgent, later)]
        assert tuple(post.status_code for post in posts) == codes


def test_more_streams_than_there_are_places_are_refused(serve):
    served = serve(replace(FREE, streams=4, streams_per_caller={"read": 1, "admin": 3}))
    streams = served.service.streams
    ann, bob, admin = Caller("ann", "read"), Caller("bob", "read"), Caller("eve", "admin")
    streams.take(ann)
    with pytest.raises(Rejection, match="too many open streams"):
        streams.take(ann)
    for caller in (bob, admin, admin):
        streams.take(caller)
    job = served.client.post("/v1/jobs", json={"kind": "verify", "collection": "drive"}).json()
    watched = served.client.get(f"/v1/jobs/{job['job_id']}/watch")
    assert (watched.status_code, watched.headers["retry-after"]) == (429, "5")
    streams.give_back(ann)
    served.client.post(f"/v1/jobs/{job['job_id']}/cancel")
    for _ in range(2):  # given back each time
        watched = served.client.get(f"/v1/jobs/{job['job_id']}/watch")
        assert '"state":"cancelled"' in watched.text


def test_computations_of_one_caller_leave_places_to_others():
    limits = ServerLimits(computations=1, computations_per_caller=2, all_computations=3)
    computations, go_on = Computations(limits), threading.Event()

    async def ask() -> list[int]:
        callers = ["ann", "ann", "ann", "bob", "eve"]
        tasks = [asyncio.ensure_future(computations.run(c, go_on.wait)) for c in callers]
        await asyncio.sleep(0.05)
        go_on.set()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        return [answer.status if isinstance(answer, Rejection) else 200 for answer in answers]

    assert asyncio.run(ask()) == [200, 200, 429, 200, 503]


@pytest.mark.parametrize("decodes", [False, True])
def test_slow_computations_of_one_caller_leave_a_thread_to_others(decodes):
    computations, go_on = Computations(ServerLimits()), threading.Event()

    async def ask() -> str:
        tasks = [
            asyncio.ensure_future(computations.run("ann", go_on.wait, decodes=decodes))
            for _ in range(4)
        ]
        await asyncio.sleep(0)
        answer = computations.run("bob", lambda: "at once", decodes=decodes)
        try:
            return await asyncio.wait_for(answer, 30)
        finally:
            go_on.set()
            assert await asyncio.gather(*tasks) == [True] * 4

    assert asyncio.run(ask()) == "at once"


def test_what_nobody_waits_for_is_not_begun():
    computations = Computations(ServerLimits(computations=1))
    with Interruption() as interruption:
        interruption.set()
        with pytest.raises(Rejection, match="nobody waits"):
            asyncio.run(computations.run("ann", lambda: pytest.fail("it is computed")))


def test_what_is_computed_is_computed_once_for_all_who_wait(served):
    calls = []

    def compute() -> int:
        calls.append(1)
        time.sleep(0.1)
        return 3

    outputs = served.service.outputs
    dataset = outputs.open("drive")
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda _: outputs.cached("drive", "x", dataset, compute), range(8)))
    assert (results, calls) == ([3] * 8, [1])
