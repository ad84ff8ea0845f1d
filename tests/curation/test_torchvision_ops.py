"""Libraries that need torchvision can be imported beside this torch, whatever it was built for."""

import importlib.util
import subprocess
import sys

from tests.outputs import environment

SCRIPT = """
from curation.torchvision_ops import mend_torchvision
mend_torchvision()
mend_torchvision()
import torchvision
from torchvision.transforms import Resize
print(Resize(8)(__import__("torch").zeros(3, 16, 16)).shape)
"""


def test_torchvision_is_imported_and_works():
    assert importlib.util.find_spec("torchvision") is not None
    ran = subprocess.run(
        [sys.executable, "-c", SCRIPT], env=environment(), capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert (ran.returncode, ran.stdout.strip()) == (0, "torch.Size([3, 8, 8])"), ran.stderr
