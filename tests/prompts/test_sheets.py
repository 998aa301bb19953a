"""Tables as CSV that spreadsheets open."""

from pathlib import Path

import numpy as np
import pandas as pd

from prompts.sheets import write_sheet


def test_numbers_stand_as_they_are_and_nulls_are_empty(tmp_path: Path) -> None:
    table = pd.DataFrame({"text": ["liver", None], "share": [0.5, np.nan], "masks": [3, 4]})
    write_sheet(table, tmp_path / "sheet.csv")
    lines = (tmp_path / "sheet.csv").read_text(encoding="utf-8-sig").splitlines()
    assert lines == ['"text","share","masks"', '"liver",0.5,3', '"","",4']
