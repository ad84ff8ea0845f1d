"""The OpenAPI description, and whatever it allows: no answer is an error of the server's."""

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

EXAMPLES = 12
JSON = [b'{"kind": "\\ud800"}', b'{"priority": NaN}', b'{"priority": 1e999}', b"\xff", b"[" * 5000]


def test_every_route_is_described(served):
    found = served.client.get("/v1/openapi.json").json()
    paths = {route.path for route in served.client.app.routes}
    assert set(found["paths"]) == paths
    for path, methods in found["paths"].items():
        for method, said in methods.items():
            assert said["description"], f"{method} {path}"


@pytest.mark.slow
def test_nothing_that_is_asked_is_an_error_of_the_server(served):
    schema = schemathesis.openapi.from_asgi("/v1/openapi.json", served.client.app)
    seen = []
    for found in schema.get_all_operations():
        operation = found.ok()

        @given(case=operation.as_strategy())
        @settings(
            max_examples=EXAMPLES, deadline=None, database=None, derandomize=True,
            phases=[Phase.explicit, Phase.generate], suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        def ask(case):
            answer = case.call()
            seen.append((case.method, case.path, answer.status_code))
            assert answer.status_code < 500, (case.method, case.formatted_path, case.body)

        if not operation.path.endswith(("/watch", "/follow")):
            ask()
    assert len({(method, path) for method, path, _ in seen}) > 20
    assert {200, 404, 422} <= {status for *_, status in seen}


def test_bytes_that_are_no_json_are_refused(served):
    said = {"Content-Type": "application/json"}

    @settings(max_examples=60, deadline=None, database=None, derandomize=True)
    @given(body=st.binary(max_size=200) | st.sampled_from(JSON))
    def ask(body):
        answer = served.client.post("/v1/jobs", content=body, headers=said)
        assert answer.status_code in (400, 422)

    ask()
