"""`flans bench consistency`: which answers count in which figure."""

from __future__ import annotations

import json

import pandas as pd
import pytest

from pipelines.bench import _print_json
from pipelines.bench_consistency import figures, show

ROW = {
    "slice_id": "a",
    "kind": "anatomy",
    "transform": "flip",
    "degrees": 0.0,
    "sure": True,
    "read": True,
    "pose_right": True,
    "degrees_out": 0.0,
    "area_mm2": 400.0,
    "dice": 1.0,
}
ROTATED = {"transform": "rotated", "degrees": 20.0}


def test_what_nothing_can_be_told_of_is_null(capsys: pytest.CaptureFixture[str]) -> None:
    """Without rotated slices, and where no pose is sure, there are no means: NaN is no JSON."""
    _print_json(figures(pd.DataFrame([ROW | {"sure": False}])))

    def refuse(constant: str) -> None:
        pytest.fail(f"{constant} is no JSON")

    found = json.loads(capsys.readouterr().out, parse_constant=refuse)
    assert found["rotated"]["all"]["dice"] is None
    assert found["pose"]["turned"]["right_where_sure"] is None


def test_unsure_poses_misread_prompts_and_small_rotated_answers_are_left_out(
    capsys: pytest.CaptureFixture[str],
) -> None:
    rows = pd.DataFrame(
        [
            ROW,
            ROW | {"kind": "position", "dice": 0.5},
            ROW | {"kind": "position", "dice": 0.0, "read": False},
            ROW | {"transform": "rot90", "dice": 0.0, "sure": False, "pose_right": False, "degrees_out": 180.0},
            ROW | ROTATED | {"dice": 0.9, "degrees_out": 3.0},
            ROW | ROTATED | {"dice": 0.1, "area_mm2": 299.0, "slice_id": "b", "degrees_out": 1.0},
        ]
    )
    found = figures(rows)
    assert found["turned"]["anatomy"] == {"answers": 1, "dice": 1.0, "least": 1.0, "share_consistent": 1.0}
    assert found["turned"]["position"]["dice"] == 0.5
    assert found["rotated"]["all"] == {"answers": 1, "dice": 0.9, "least": 0.9, "share_consistent": 0.0}
    assert found["read_right"] == round(5 / 6, 4)
    turned = {"pictures": 2, "sure": 0.5, "right": 0.5, "right_where_sure": 1.0, "degrees_out_where_sure": 0.0}
    assert found["pose"] == {
        "turned": turned,
        "rotated": {
            "pictures": 2,
            "sure": 1.0,
            "right": 1.0,
            "right_where_sure": 1.0,
            "degrees_out_where_sure": 2.0,
        },
    }
    show(rows)
    assert "83.3%" in capsys.readouterr().out
