"""Bytecode for what the benches start: written before, as pip writes it when it installs and as the images hold it.

A tree that is edited, or PYTHONDONTWRITEBYTECODE, would else make every start compile three hundred modules.
"""

from __future__ import annotations

import atexit
import os
import shutil
import subprocess
import sys
import tempfile
from functools import cache


@cache
def environment(*modules: str) -> dict[str, str]:
    """Environment variables for a process that imports these: their bytecode, and that of all they import, is there."""
    directory = tempfile.mkdtemp(prefix="kubelab-bench-bytecode-")
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    variables = {**os.environ, "PYTHONPYCACHEPREFIX": directory}
    variables.pop("PYTHONDONTWRITEBYTECODE", None)
    subprocess.run([sys.executable, "-c", f"import {', '.join(modules)}"], env=variables, check=True)
    return variables
