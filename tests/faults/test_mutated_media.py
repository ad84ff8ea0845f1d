"""Mutated files: one outcome each, and none is passed off as fine."""

import pytest

from tests.faults.mutated_media import FINE, judge_batch, table

pytestmark = pytest.mark.faults


@pytest.mark.full_seeds(58)
def test_mutated_files(fault_seed, tmp_path):
    verdicts = judge_batch(tmp_path, fault_seed)
    print(table(verdicts))
    assert not [verdict for verdict in verdicts if verdict.verdict not in FINE]
