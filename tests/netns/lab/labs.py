"""Labs of tests: up as `kubelab up` does it, and gone afterwards whatever the tests did."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from provisioner import lifecycle
from provisioner.home import LabHome, find_home
from provisioner.progress import make_progress
from provisioner.spec import Lab


def bring_up(lab: Lab) -> lifecycle.Brought:
    return lifecycle.bring_up(lab, find_home(), lambda steps: make_progress(steps, as_json=False))


@contextmanager
def home_of(lab: Lab) -> Iterator[LabHome]:
    """The lab's home; whatever is done meanwhile, the lab is destroyed."""
    place = LabHome(find_home(), lab.name)
    lifecycle.destroy(place, lab)  # of a run that was killed
    try:
        yield place
    finally:
        lifecycle.destroy(place, lab)
