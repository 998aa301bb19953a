"""From cases to figures: who is scored with whom, bins, and calibration worked out by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from model.testing.scoring import calibration, score, score_volumes, tables


def cases() -> pd.DataFrame:
    """Three ways to show two patients' slices; a third patient's source is out of domain."""
    rows = [
        {"patient": patient, "source": source, "domain": domain, "transform": transform, "degrees": degrees}
        for patient, source, domain in (("a/1", "a", "in"), ("a/2", "a", "in"), ("b/1", "b", "out"))
        for transform, degrees in (("identity", 0.0), ("flip", 0.0), ("rotated", -12.0))
    ]
    table = pd.DataFrame(rows).assign(slice_id=lambda t: t["patient"], organ="liver", kind="anatomy", target="liver")
    dice = {"identity": 0.9, "flip": 0.8, "rotated": 0.7}
    table = table.assign(dice=table["transform"].map(dice) - 0.5 * (table["domain"] == "out"), nsd=0.5, nsd_1mm=0.25)
    table = table.assign(hd95=2.0, area_mm2=300.0, region="top left", style="lay", prompt_id="p", understood="liver")
    table = table.assign(text="the liver please")
    shown = table["transform"].replace("rotated", "identity")
    return table.assign(
        understood_right=True, negated_right=True, pose_found=shown, pose_right=True, pose_sure=True
    ).assign(alone_right=True, alone_sure=True)


def test_what_is_out_of_domain_is_scored_apart() -> None:
    metrics = score(cases(), None, {})
    found = {scan: metrics[scan]["anatomy"]["dice"] for scan in ("original", "transformed", "rotated")}
    assert found == {"original": 0.9, "transformed": 0.8, "rotated": 0.7}
    assert metrics["original"]["anatomy"]["nsd_1mm"] == 0.25
    apart = metrics["out_of_domain"]
    assert [apart[scan]["anatomy"]["dice"] for scan in found] == [0.4, 0.3, 0.2]
    assert (metrics["patients"], apart["patients"]) == (2, 1)
    assert "out_of_domain" not in score(cases().query("domain == 'in'"), None, {})


def test_of_what_is_not_there_the_share_is_told_that_was_left_out() -> None:
    vain = cases().assign(kind="absent", dice=lambda t: (t["patient"] == "a/1").astype(float))
    original = score(pd.concat([cases(), vain], ignore_index=True), None, {})["original"]
    assert original["absent"] == {"empty": 0.5, "cases": 2}
    assert original["anatomy"]["dice"] == 0.9, "what isn't there is no case by name"
    volumes = pd.concat([cases(), vain], ignore_index=True).query("transform == 'identity' and domain == 'in'")
    whole = score_volumes(volumes.assign(volume=volumes["patient"]))
    assert (whole["absent"], whole["anatomy"]["cases"], whole["volumes"]) == ({"empty": 0.5, "cases": 2}, 2, 2)


def test_requests_by_name_are_scored_once_more_where_they_were_understood_and_where_their_words_are_known() -> None:
    described = cases().assign(text="what Prometheus lost, please", understood_right=False, dice=0.0)
    original = score(pd.concat([cases(), described], ignore_index=True), None, {})["original"]
    assert original["anatomy"]["dice"] == pytest.approx(0.45)
    for where in ("named", "understood"):
        assert original[f"anatomy_where_{where}"]["dice"] == pytest.approx(0.9)
        assert 2 * original[f"anatomy_where_{where}"]["cases"] == original["anatomy"]["cases"]


def test_poses_are_counted_once_more_where_the_abdomen_shows() -> None:
    pelvis = cases().assign(slice_id=lambda t: t["slice_id"] + " low", organ="rectum", alone_right=False)
    rectum_beside_the_liver = cases().assign(organ="rectum")
    pose = score(pd.concat([cases(), pelvis, rectum_beside_the_liver], ignore_index=True), None, {})["original"]["pose"]
    assert (pose["accuracy"], pose["accuracy_abdomen"], pose["abdomen"]) == (0.5, 1.0, 2)
    assert "abdomen" not in score(pelvis, None, {})["original"]["pose"]


def test_other_kinds_are_held_against_the_same_masks_by_name() -> None:
    named = cases()
    other = named[named["patient"] != "a/2"].assign(kind="size", target="largest", dice=lambda t: t["dice"] - 0.3)
    spleen = named.assign(kind="size", target="largest", organ="spleen", dice=0.0)  # which nobody asked for by name
    original = score(pd.concat([named, other, spleen], ignore_index=True), None, {})["original"]
    assert original["size"]["case_dice"] == pytest.approx(0.6)
    assert original["size"]["case_dice_by_name"] == pytest.approx(0.9)
    assert "case_dice" not in original["anatomy"]


def test_tables_bin_sizes_and_angles_and_keep_rotations_apart() -> None:
    found = tables(cases())
    assert set(found["transforms"]["transform"]) == {"identity", "flip"}
    assert found["sizes"][["area_mm2", "cases"]].to_numpy().tolist() == [["200 - 500", 2]]  # not out of domain
    assert found["angles"][["degrees", "cases"]].to_numpy().tolist() == [["10 - 20", 2]]
    assert found["poses"].to_numpy().tolist() == [["flip", "flip"]] * 2 + [["identity", "identity"]] * 2
    sources = found["sources"].set_index(["domain", "source", "scan"])["dice"]
    assert sources["out", "b", "original"] == pytest.approx(0.4)
    assert sources["in", "a", "rotated"] == pytest.approx(0.7)


def test_calibration_by_hand() -> None:
    """Two bins: four texts at 0.9 of which three are right, and one at 1.0 that is; two at 0.35 of which none is."""
    confidence = np.array([0.9, 0.9, 0.9, 0.9, 1.0, 0.35, 0.35])
    right = np.array([True, True, True, False, True, False, False])
    error, table = calibration(confidence, right)
    assert table.to_dict("records") == [
        {"low": 0.3, "high": 0.4, "confidence": 0.35, "accuracy": 0.0, "prompts": 2},
        {"low": 0.9, "high": 1.0, "confidence": 0.92, "accuracy": 0.8, "prompts": 5},
    ]
    assert error == pytest.approx((2 * 0.35 + 5 * 0.12) / 7, abs=1e-4)


def test_a_request_counts_for_each_kind_that_it_was_asked_in() -> None:
    shown = cases().query("domain == 'in'")
    absent = shown.assign(kind="absent", understood_right=False)
    by_kind = score(pd.concat([shown, absent]), None, {})["intent"]["by_kind"]
    assert by_kind == {"absent": 0.0, "anatomy": 1.0}
