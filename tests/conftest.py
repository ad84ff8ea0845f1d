"""Options of the whole test suite: its tiers, and a small disk.

`make test` runs the fast tier and says what it left out; `make test-slow` runs the rest. A test
belongs to the slow tier if it carries one of the markers of `SLOW_MARKERS`.
"""

import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.fault_table import PROPERTY, FaultTable

SLOW_MARKERS = {
    "browser": "drives the web page in Chromium",
    "data": "reads the real videos named by REELMILL_DATA",
    "faults": "kills processes while they work",
    "gpu": "computes on a CUDA device",
    "media": "encodes and decodes many files",
    "models": "builds networks of the real architectures",
    "ray": "starts a Ray cluster",
    "s3": "runs against a local S3 server",
    "slow": "takes seconds: whole pipelines, many processes, large tables",
    "sweep": "reads generated files of every container",
    "train": "trains a network",
}
_left_out: Counter[str] = Counter()
_faults = pytest.StashKey[FaultTable]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--tier", choices=("fast", "slow", "all"), default="all", help="Which tests to run."
    )
    parser.addoption(
        "--fault-seeds", type=int, default=1, help="Seeds of each row of the fault matrix."
    )
    parser.addoption(
        "--fault-scale", choices=("sample", "full"), default="sample",
        help="`full`: as many seeds as each row's marker `full_seeds` says.",
    )  # fmt: skip
    parser.addoption(
        "--fault-table", type=Path, metavar="FILE",
        help="Keeps the fault matrix in a file; tests that it says have passed are left out.",
    )  # fmt: skip
    parser.addoption(
        "--sweep", action="store_true", help="Every file of tests/sweep instead of a tenth."
    )


def pytest_configure(config: pytest.Config) -> None:
    for name, meaning in SLOW_MARKERS.items():
        config.addinivalue_line("markers", f"{name}: {meaning}")
    table = FaultTable(config.getoption("--fault-table"), config.getoption("--fault-scale"))
    config.stash[_faults] = table
    if not hasattr(config, "workerinput"):  # under xdist only the first process hears of all tests
        config.pluginmanager.register(table)
    config.addinivalue_line("markers", "full_seeds(n): seeds of the full fault matrix")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselects the tests of the other tier, and faults that were tried before."""
    tier = config.getoption("--tier")
    done = config.stash[_faults].done
    selected, deselected = [], []
    for item in items:
        marker = next((name for name in SLOW_MARKERS if item.get_closest_marker(name)), None)
        is_chosen = tier == "all" or (marker is None) == (tier == "fast")
        is_left = item.nodeid not in done
        (selected if is_chosen and is_left else deselected).append(item)
        if marker is not None and tier == "fast":
            _left_out[marker] += 1
    items[:] = selected
    config.hook.pytest_deselected(items=deselected)
    if hasattr(config, "workeroutput"):
        config.workeroutput["left_out"] = dict(_left_out)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: object, error: object) -> None:
    """Takes over what an xdist worker left out; all workers collect the same tests."""
    _left_out.update(
        Counter(getattr(node, "workeroutput", {}).get("left_out", {})) - Counter(_left_out)
    )


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    for line in config.stash[_faults].lines():
        terminalreporter.write_line(line)
    if _left_out:
        counts = ", ".join(f"{count} {name}" for name, count in sorted(_left_out.items()))
        terminalreporter.write_line(
            f"left out: {_left_out.total()} tests ({counts}); `make test-slow` runs them"
        )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "fault_seed" not in metafunc.fixturenames:
        return
    seeds = metafunc.config.getoption("--fault-seeds")
    full = metafunc.definition.get_closest_marker("full_seeds")
    if full is not None and metafunc.config.getoption("--fault-scale") == "full":
        (seeds,) = full.args
    metafunc.parametrize("fault_seed", range(seeds))


@pytest.fixture
def record_fault(request: pytest.FixtureRequest) -> Callable[..., None]:
    """Records faults of one row and seed; a failure of the test says how to replay the seed."""
    parameters = getattr(request.node, "callspec", None)
    seed = parameters.params.get("fault_seed", 0) if parameters else 0
    request.node.add_report_section(
        "call", "seed",
        f"seed {seed}; replay: pytest '{request.node.nodeid}' --fault-seeds {seed + 1}",
    )  # fmt: skip

    def record(
        row: str, *, faults: int = 1, lost: int = 0, doubled: int = 0, wrong: int = 0,
        recovery_s: float = 0.0,
    ) -> None:  # fmt: skip
        values = {"faults": faults, "lost": lost, "doubled": doubled, "wrong": wrong}
        entry = {"row": row, "seed": seed, **values, "recovery_s": recovery_s}
        request.node.user_properties.append((PROPERTY, entry))
        assert lost == doubled == wrong == 0, f"{row}, seed {seed}: {values}"

    return record


@pytest.fixture
def small_disk(tmp_path) -> Iterator[Path]:
    """A file system of 3 MiB."""
    mount = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(tmp_path)]
    try:
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"cannot mount here: {error}")
    yield tmp_path
    subprocess.run(["umount", "--lazy", str(tmp_path)], check=True)
