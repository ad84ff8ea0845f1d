import re

import pyarrow as pa
import pytest

from curation.sql_filter import filter_clips

TABLE = pa.table({
    "row": [0, 1, 2], "uri": ["a.mp4", "it's.mp4", None], "motion": [0.1, None, 0.5],
    "a name": [1, 2, 3],
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
    ],
)
def test_rows_for_which_the_condition_is_true(condition, rows):
    assert sorted(filter_clips(TABLE, condition, ["row"])["row"].to_pylist()) == rows
    assert filter_clips(TABLE, condition).column_names == TABLE.column_names


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ("moton > 1", "there is no column 'moton'; did you mean 'motion'?; there are row, uri"),
        ("motion >", "syntax error"),
        ("", "Parser Error"),
        ("1=1; select 1", "more than one statement"),
        ("1=1) or (1=1", "syntax error"),
        ("exists (select * from TABLE)", "Error"),
        ("exists (select * from secret)", "secret does not exist"),
        ("exists (select * from read_csv('/etc/passwd'))", "disabled by configuration"),
        ("uri > 3", "Cannot compare"),
        ("count(*) > 1", "aggregates"),
    ],
)
def test_an_invalid_condition_is_refused(condition, message):
    secret = TABLE  # a variable that a condition must not reach
    with pytest.raises(ValueError, match=re.escape(message)):
        filter_clips(secret, condition)
