"""What a process tells the kernel of itself."""

import subprocess
import sys

_SAYS = """
import sys
from apimachinery.kit.process import set_oom_score_adj
set_oom_score_adj(int(sys.argv[1]))
print(open("/proc/self/oom_score_adj").read())
"""


def told(value: int) -> int:
    """In a process of its own: what is raised cannot always be lowered again."""
    done = subprocess.run([sys.executable, "-c", _SAYS, str(value)], capture_output=True, text=True, check=True)
    return int(done.stdout)


def test_the_score_is_the_kernels() -> None:
    assert told(600) == 600


def test_one_that_the_kernel_refuses_is_no_error() -> None:
    assert told(2000) != 2000
