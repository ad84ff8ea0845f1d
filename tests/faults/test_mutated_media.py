"""Mutated files: one outcome each, and none is passed off as fine."""

import pytest

from tests.faults.mutated_media import FINE, judge_batch, table
from tests.faults.mutations import MUTATIONS

pytestmark = pytest.mark.faults


@pytest.mark.full_seeds(58)
def test_mutated_files(fault_seed, run, tmp_path, record_fault):
    verdicts = judge_batch(run, tmp_path, fault_seed)
    wrong = [verdict for verdict in verdicts if verdict.verdict not in FINE]
    print(table(verdicts), *wrong, sep="\n")
    for mutation in MUTATIONS:
        record_fault(
            f"mutated video: {mutation}",
            faults=sum(verdict.mutation == mutation for verdict in verdicts),
            wrong=sum(verdict.mutation == mutation for verdict in wrong),
        )
