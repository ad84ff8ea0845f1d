"""Requests that are well-formed and wrong, of each scope: no response is a server error.

Values come from pools: ids of what is there and of what is not, cursors that are outdated, mistaken
or mutilated, extreme numbers, odd Unicode. Now and then a value does not fit its field's pattern.
`--fault-seeds` runs more of them; a failure replays from its seed.
"""

import base64
import json
import re
import urllib.parse
import zlib

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from curation.dataset import Dataset
from pipelines.service.api_keys import SCOPES

EXAMPLES = 200
ODD_TEXT = [
    "", " ", "\x00", "\x1b[31m", "\ud800", "\udfff\ud800", "\ufeff", "\u202egpj", "e\u0301\u0301",
    "İstanbul", "ẞß", "٣", "𝟛", "\U0010ffff", "👩\u200d👩", "a\nb", "../..", "%2e%2e", "%00",
    "'", '"',
    "\\", "${x}", "{job}", "NaN", "null", "-1", "--out", "a" * 5000, "(" * 300, "﷽" * 50,
]  # fmt: skip
CONDITIONS = [
    "true", "false", "null", "duration_s > 0", "duration_s > 1e308 * 10", "row / 0 = 1", "row",
    "'a'", "1", "caption like '%\ud800%'", "regexp_matches(uri, '(')", "uri::double > 1",
    "uri::date > date '2024-01-01'", "power(row, 1e9) > 1", "row // 0 = 1", "row % 0 = 1",
    "substring(uri, -9223372036854775808, 9223372036854775807) = ''", "[1, 2][1] = 1",
    "split_part(uri, '', -1) = ''", "sqrt(-1) > 0", "9223372036854775807 + row > 0", "-row < 0",
    "strpos(uri, uri) in (1, null)", "case when true then 1 end", "verdict is null",
    "round(duration_s, -2147483648) = 0", "uri || null is null", "list_contains([row], row)",
]  # fmt: skip
NUMBERS = [
    0, -1, 1, 2, 100, 2**31 - 1, 2**31, -(2**31) - 1, 2**53 + 1, 2**62, 2**63 - 1, 2**63, 2**64,
    10**40, -0.0, 0.5, 1e-320, 1e308, -1e308,
]  # fmt: skip


def _cursor(content: dict) -> str:
    return base64.urlsafe_b64encode(zlib.compress(json.dumps(content).encode())).decode()


FORMS = ["x", "e30", _cursor({})]
"""What is no cursor."""


@pytest.fixture
def pools(served, outputs) -> dict[str, list]:
    """Values that mean something, by kind."""
    clips = Dataset(outputs / "drive").clips()
    where = "/v1/collections/drive/search"
    query = {"where": "duration_s > 0", "top": 1}
    cursor = served.client.post(where, json=query).json()["next"]
    content = json.loads(zlib.decompress(base64.urlsafe_b64decode(cursor)))
    changes = [
        {"generation": "0" * 16}, {"row": 2**61}, {"score": 1e308}, {"shown": [9, 9]},
        {"text_index": "none"}, {"num_rows": 0}, {"is_fused": True},
    ]  # fmt: skip
    outdated = [_cursor({**content, **change}) for change in changes]
    clip_ids = clips["clip_id"].to_pylist()
    source_id = clips["source_id"][0].as_py()
    verify = {"kind": "verify", "collection": "drive"}
    job = served.client.post("/v1/jobs", json=verify).json()["job_id"]
    return {
        "text": [
            *ODD_TEXT, *CONDITIONS, *FORMS, cursor, cursor[:-2], *outdated, "drive", "none",
            "videos", "videos/missing.mp4", job, "0" * 16, "f" * 64, "0" * 32, *clip_ids[:2],
            clip_ids[0][:8], source_id, "kept", "failed", "motion.min", "policy.limits",
            "tokenizer", "duration_s", "camera", "verdict",
        ],
        "name": ["drive", "drive", "drive", "none", *ODD_TEXT],
        "clip_id": [*clip_ids, "0" * 32, "f" * 16],
        "source_id": [*clips["source_id"].to_pylist(), "0" * 64],
        "job_id": [job, job, "0" * 16],
        "artefact_id": ["0" * 16, job],
        "where": CONDITIONS,
        "after": [cursor, cursor[:-2], cursor[::-1], *outdated, *FORMS, *clip_ids],
        "before": ["0", "1", "9" * 18],
        "collection": ["drive", "drive", "none"],
        "inputs": ["videos", "videos/..", "videos/missing.mp4", "none/x", "videos/\u202e"],
        "file": ["main.js", "none.js", "base.css"],
        "key": ["guess", *ODD_TEXT],
    }  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("scope", SCOPES)
def test_what_is_well_formed_and_wrong_is_no_error_of_the_server(served, pools, scope, fault_seed):
    headers = served.headers(scope)
    openapi = served.client.get("/v1/openapi.json", headers=headers).json()
    operations = [
        (method.upper(), path, operation)
        for path, methods in openapi["paths"].items()
        for method, operation in methods.items()
        if not path.endswith(("/watch", "/follow"))
    ]
    statuses = set()

    @seed(fault_seed)
    @given(data=st.data())
    @settings(
        max_examples=EXAMPLES, deadline=None, database=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    def send(data):
        method, path, operation = data.draw(st.sampled_from(operations))
        values = Values(data, pools, openapi["components"]["schemas"])
        query = {}
        for parameter in operation.get("parameters", ()):
            name, schema = parameter["name"], parameter["schema"]
            if parameter["in"] == "path":
                path = path.replace(f"{{{name}}}", _quoted(values.of(schema, name)))
            elif parameter["in"] == "query" and data.draw(st.booleans()):
                query[name] = values.of(schema, name)
        sent = {**headers, **data.draw(st.sampled_from(HEADERS))}
        content = None
        bodies = operation.get("requestBody", {}).get("content", {})
        if "application/json" in bodies:
            body = values.of(bodies["application/json"]["schema"], "body")
            content = json.dumps(body).encode()
            sent.setdefault("Content-Type", "application/json")
        elif bodies:
            sent["Content-Type"] = data.draw(st.sampled_from(list(bodies)))
            content = data.draw(st.sampled_from([b"", b"x", b"\xff\xd8\xff\xe0" * 9, PNG]))
        words = "&".join(f"{name}={_quoted(value)}" for name, value in query.items())
        url = f"{path}?{words}"
        answer = served.client.request(method, url, content=content, headers=sent)
        statuses.add(answer.status_code)
        assert answer.status_code < 500, (fault_seed, method, url, content, answer.text)

    send()
    assert {200, 404, 422} <= statuses
    assert (403 in statuses) == (scope != "admin")


PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x7f\xff\xff\xff\x7f\xff\xff\xff\x08\x06\x00\x00\x00"
HEADERS: list[dict[str, str]] = [
    {}, {}, {}, {"Range": "bytes=0-"}, {"Range": "bytes=999999999999999999-"},
    {"Range": "bytes=-0"}, {"Range": "bytes=5-1,2-3"}, {"Range": "x"},
    {"Idempotency-Key": "k"}, {"Idempotency-Key": "~" * 200}, {"If-None-Match": "*"},
    {"Accept": "text/html"}, {"Content-Type": "text/plain"}, {"Accept-Encoding": "br;q=x"},
    {"Cookie": "reelmill_session=" + "0" * 64},
]  # fmt: skip


def _quoted(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return urllib.parse.quote(text.encode("utf-8", "surrogatepass"), safe="")


class Values:
    """Draws values for JSON schemas from the pools."""

    def __init__(self, data, pools: dict[str, list], schemas: dict) -> None:
        self._data, self._pools, self._schemas = data, pools, schemas

    def _one(self, values):
        return self._data.draw(st.sampled_from(values))

    def of(self, schema: dict, name: str):  # noqa: PLR0911  one of each kind of schema
        """A value of a field; now and then one of another type or against its pattern."""
        if "$ref" in schema:
            return self.of(self._schemas[schema["$ref"].rsplit("/", 1)[1]], name)
        if "anyOf" in schema:
            return self.of(self._one(schema["anyOf"]), name)
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return self._one(schema["enum"])
        kind = schema.get("type", "string")
        if kind == "object":
            return self._object(schema, name)
        if kind == "array":
            items = schema.get("items", {})
            return [self.of(items, name) for _ in range(self._one([0, 1, 1, 2, 3]))]
        if kind in ("integer", "number"):
            integers = [n for n in NUMBERS if isinstance(n, int)]
            return self._one(integers if kind == "integer" else NUMBERS)
        if kind == "boolean":
            return self._one([True, False])
        return None if kind == "null" else self._text(schema, name)

    def _object(self, schema: dict, name: str) -> dict:
        required = schema.get("required", ())
        properties = schema.get("properties", {})
        result = {
            key: self.of(value, key)
            for key, value in properties.items()
            if key in required or self._one([True, False])
        }
        further = schema.get("additionalProperties")
        if isinstance(further, dict):
            for _ in range(self._one([0, 1, 2])):
                result[self._one(self._pools["text"])] = self.of(further, name)
        return result

    def _text(self, schema: dict, name: str) -> str:
        values = self._pools.get(name, self._pools["text"])
        pattern = schema.get("pattern")
        if pattern and self._one([True, True, True, False]):
            fitting = [value for value in self._pools["text"] if re.search(pattern, value)]
            values = [value for value in values if re.search(pattern, value)] or fitting or values
            alternatives = re.fullmatch(r"\^\(([\w|]+)\)\$", pattern)
            values = alternatives[1].split("|") if alternatives else values
        return self._one(values)
