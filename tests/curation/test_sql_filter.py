import re
import threading
import time

import pyarrow as pa
import pytest

from curation import sql_filter
from curation.sql_filter import InterruptedConditionError, Interruption, filter_clips

TABLE = pa.table({
    "row": [0, 1, 2], "uri": ["a.mp4", "it's.mp4", None], "motion": [0.1, None, 0.5],
    "a name": [1, 2, 3], "words": [["car"], None, ["dog", "sky"]],
    "speed": ["40", "7", None], "day": ["2024-02-29", "2024-03-01", None],
    "extra": pa.array([[("camera", "front")], [], None], pa.map_(pa.string(), pa.string())),
})  # fmt: skip


@pytest.mark.parametrize(
    ("condition", "rows"),
    [
        ("motion > 0.2", [2]),
        ("not motion > 0.2", [0]),
        ("motion is null or uri = 'a.mp4'", [0, 1]),
        ("uri = 'it''s.mp4'", [1]),
        ("uri not like '%s.mp4'", [0]),
        ('"a name" between 2 and 3', [1, 2]),
        ("false", []),
        ("lower(uri) like 'A%' or upper(uri) like 'A%'", [0]),
        ("length(uri) > 5 and contains(uri, 's')", [1]),
        ("starts_with(uri, 'a') or ends_with(uri, 's.mp4')", [0, 1]),
        ("regexp_matches(uri, '^i.*mp4$')", [1]),
        ("coalesce(motion, 9) + 1 > 5 or abs(-row) * 2 = 0", [0, 1]),
        ("greatest(row, 1) = 1 and least(row, 1) = 0", [0]),
        ("round(motion, 1) = 0.5 and floor(motion) = 0 and ceil(motion) = 1", [2]),
        ("list_contains(words, 'car') or 'dog' in words", [0, 2]),
        ("ROW % 2 = 0 and MOTION <= 0.1", [0]),
        ("uri is distinct from 'a.mp4'", [1, 2]),
        ("uri is not distinct from null", [2]),
        ("speed::double > 30 or try_cast(speed as double) = 7", [0, 1]),
        ("extra['camera'] = 'front'", [0]),
        ("case when row = 1 then motion is null else row = 2 end", [1, 2]),
        ("isnan(motion) or not isfinite(motion)", []),
        ("list_has_any(words, ['sky', 'car'])", [0, 2]),
        ("cast(day as date) >= date '2024-03-01'", [1]),
        ("strpos(trim(uri), '4') > 0 and split_part(uri, '.', 2) = 'mp4'", [0, 1]),
        ("replace(uri, '.mp4', '') = 'a' and replace(uri, 'a', 'b') = 'b.mp4'", [0]),
        ("row // 2 = 1 and sqrt(power(row, 2)) = 2", [2]),
    ],
)
def test_rows_for_which_the_condition_is_true(condition, rows):
    assert sorted(filter_clips(TABLE, condition, ["row"])["row"].to_pylist()) == rows
    assert filter_clips(TABLE, condition).column_names == TABLE.column_names


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ("moton > 1", "there is no column 'moton'; did you mean 'motion'?; there are row, uri"),
        ("motion >", "is no condition: Required keyword"),
        ("", "no condition"),
        ("1=1; select 1", "write one expression"),
        ("1=1) or (1=1", "is no condition"),
        ("select 1", "select 'SELECT 1' is not allowed"),
        ("motion > (select 1)", "is not allowed"),
        ("motion in (select 1)", "in takes a list of values"),
        ("exists (select * from TABLE)", "there is no function 'exists'"),
        ("1 in (select row from secret a, secret b, secret c)", "in takes a list of values"),
        ("uri = read_text('/etc/passwd')", "there is no function 'read_text'"),
        ("uri = getenv('HOME')", "there is no function 'getenv'"),
        ("length(repeat(uri, 1000000000)) > 1", "there is no function 'repeat'"),
        ("secret.uri = 'a'", "there is no column 'uri'"),
        ("uri::blob = 'a'", "there is no cast to BLOB"),
        ("extra[uri] = 'a'", "[…] takes one literal"),
        ("set = 1", "goes in double quotes"),
        ("list_transform(words, x -> x) is null", "there is no function"),
        ("columns('u.*') = 'a'", "there is no"),
        ("- " * 480 + "1 = 1", "is no condition"),
        ("uri = '\ud800'", "is no condition"),
        ("motion > $1", "is not allowed"),
        ("uri > 3", "Cannot compare"),
        ("length(replace(uri, 'a', 'aa')) > 1", "of which the second is no longer than the first"),
        ("replace(uri, 'a', 'ä') = 'a'", "of which the second is no longer than the first"),
        ("replace(uri, 'a', uri) = 'a'", "replace takes two literals"),
        ("count(*) > 1", "there is no function 'count'"),
        ("(" * 3000 + "true" + ")" * 3000, "is no condition"),
        ("row = 1" + " or row = 1" * 500, "is too long"),
        ("true or " * 2000 + "true", "at most 10,000 characters"),
    ],
)
def test_an_invalid_condition_is_refused(condition, message):
    secret = TABLE  # a variable that a condition must not reach
    with pytest.raises(ValueError, match=re.escape(message)):
        filter_clips(secret, condition)


LARGE = pa.concat_tables([pa.table({"row": [0] * 1000, "uri": ["abc" * 9] * 1000})] * 20_000)
"""20 million rows, of which `HEAVY` looks at some 100,000 a second."""
HEAVY = " or ".join(f"regexp_matches(lower(uri), '{n}.*{n}.*x$')" for n in range(40))


def test_a_condition_ends_at_its_deadline(monkeypatch):
    monkeypatch.setattr(sql_filter, "_DEADLINE_S", 0.2)
    started = time.monotonic()
    with pytest.raises(InterruptedConditionError, match="takes too long"):
        filter_clips(LARGE, HEAVY, ["row"])
    assert time.monotonic() - started < 15


def test_a_condition_ends_when_it_is_interrupted():
    started = time.monotonic()
    with Interruption() as interruption:
        timer = threading.Timer(0.2, interruption.set)
        timer.start()
        with pytest.raises(InterruptedConditionError):
            filter_clips(LARGE, HEAVY, ["row"])
        with pytest.raises(InterruptedConditionError):
            filter_clips(TABLE, "true")
    assert time.monotonic() - started < 15
    assert len(filter_clips(TABLE, "true")) == 3, "elsewhere conditions go on"
