"""Gantry tilt beyond what a gantry can: test_dicom.py has the tilts that are undone."""

from __future__ import annotations

import numpy as np
import pytest

from corpus.scans.tilt import straighten
from corpus.scans.volumes import Reject


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("degrees", [-80, -46, 46, 60])
def test_a_tilt_that_no_gantry_has_is_refused(degrees: float, axis: int) -> None:
    """At 80 degrees a volume would grow 17 times."""
    affine = np.diag([1.0, 1.0, 3.0, 1.0])
    affine[axis, 2] = 3 * np.tan(np.radians(degrees))
    with pytest.raises(Reject, match=f"{abs(degrees)} degrees off their normal, expected a gantry tilt of at most 45"):
        straighten(np.zeros((8, 8, 20), np.int16), affine, -1024)
    affine[axis, 2] = 3 * np.tan(np.radians(44))
    assert straighten(np.zeros((8, 8, 20), np.int16), affine, -1024)[2] == pytest.approx(44)
