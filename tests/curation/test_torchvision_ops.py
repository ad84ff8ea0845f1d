"""torchvision can be imported with this build of torch."""

import importlib.util
import subprocess
import sys

import pytest

from tests.outputs import environment

pytestmark = pytest.mark.models

SCRIPT = """
from curation.torchvision_ops import declare_missing_ops
declare_missing_ops()
declare_missing_ops()
import torchvision
from torchvision.transforms import Resize
print(Resize(8)(__import__("torch").zeros(3, 16, 16)).shape)
"""


def test_torchvision_is_imported_and_works():
    assert importlib.util.find_spec("torchvision") is not None
    process = subprocess.run(
        [sys.executable, "-c", SCRIPT], env=environment(), capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert (process.returncode, process.stdout.strip()) == (0, "torch.Size([3, 8, 8])"), (
        process.stderr
    )
