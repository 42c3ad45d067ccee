"""The one step that pyproject.toml cannot say: installing kubelab writes the API's schema.

See apimachinery/api/extract.py.
"""

import sys
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


class BuildPy(build_py):
    """Also for an editable install: then the data lies in the checkout, beside the code that reads it."""

    def run(self) -> None:
        sys.path.insert(0, str(Path(__file__).parent))
        from apimachinery.api.extract import main

        if main():
            raise SystemExit(1)
        super().run()


setup(cmdclass={"build_py": BuildPy})
