"""What a process tells the kernel of itself."""

import subprocess
import sys

_SAYS = """
import sys
from apimachinery.kit.process import set_oom_score_adj
set_oom_score_adj(int(sys.argv[1]))
print(open("/proc/self/oom_score_adj").read())
"""


_FILES = """
import resource, sys
from apimachinery.kit.process import set_open_files
resource.setrlimit(resource.RLIMIT_NOFILE, (512, 1024))
set_open_files(int(sys.argv[1]))
print(*resource.getrlimit(resource.RLIMIT_NOFILE))
"""


def told(value: int) -> int:
    """In a process of its own: what is raised cannot always be lowered again."""
    done = subprocess.run([sys.executable, "-c", _SAYS, str(value)], capture_output=True, text=True, check=True)
    return int(done.stdout)


def test_the_score_is_the_kernels() -> None:
    assert told(600) == 600


def test_one_that_the_kernel_refuses_is_no_error() -> None:
    assert told(2000) != 2000


def test_so_many_files_may_be_open() -> None:
    done = subprocess.run([sys.executable, "-c", _FILES, "700"], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["700", "700"]


def test_more_than_any_process_may_have_is_as_many_as_were_given() -> None:
    done = subprocess.run([sys.executable, "-c", _FILES, str(1 << 40)], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1024", "1024"]
