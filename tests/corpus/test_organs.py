"""Organs as reports name them: sides, absence, operations, and lists under one negation."""

import pytest

from corpus.reports.organs import organs_of


@pytest.mark.parametrize(
    ("text", "named", "negated"),
    [
        ("The kidneys are normal.", "kidney", ""),
        ("Both adrenals are normal.", "left adrenal gland, right adrenal gland", ""),
        ("Bilateral adrenal nodules.", "left adrenal gland, right adrenal gland", ""),
        ("Bilateral renal cysts.", "kidney", ""),
        ("The left and right kidney enhance.", "kidney", ""),
        ("R and L kidneys enhance.", "right kidney, left kidney", ""),
        ("L/R kidneys enhance.", "kidney", ""),
        ("The left adrenal and kidney are normal.", "left adrenal gland, left kidney", ""),
        ("L renal cyst.", "left kidney", ""),
        ("Nodule of the Rt. adrenal, cyst of the Lt renal pole.", "right adrenal gland, left kidney", ""),
        ("Avascular necrosis of both femoral heads.", "left head of femur, right head of femur", ""),
        ("No gallbladder.", "gallbladder", "gallbladder"),
        ("Gallbladder: surgically absent.", "gallbladder", "gallbladder"),
        ("Gallbladder removed last year.", "gallbladder", "gallbladder"),
        ("The gallbladder cannot be seen.", "gallbladder", "gallbladder"),
        ("The gallbladder can be seen and is not distended.", "gallbladder", ""),
        ("Nonvisualization of the gallbladder.", "gallbladder", "gallbladder"),
        ("Left renal agenesis; the right kidney is large.", "left kidney, right kidney", "left kidney"),
        ("Seminal vesicles: absent on the right.", "seminal vesicles", ""),
        ("No lesion of the liver, spleen or pancreas.", "liver, spleen, pancreas", "liver, spleen, pancreas"),
        ("No liver lesion, spleen normal.", "liver, spleen", "liver"),
        ("The colon or rectum is thickened.", "colon, rectum", ""),
        ("Status post left nephrectomy.", "left kidney", "left kidney"),
        ("S/p right radical nephrectomy; left kidney normal.", "right kidney, left kidney", "right kidney"),
        ("Status post cholecystectomy and splenectomy.", "gallbladder, spleen", "gallbladder, spleen"),
        ("Post-cholecystectomy clips.", "gallbladder", "gallbladder"),
        ("After distal pancreatectomy and splenectomy.", "spleen", "spleen"),
        ("S/p left nephrectomy, left kidney bed clear, right kidney normal.", "left kidney, right kidney", ""),
        ("Status post left partial nephrectomy.", "", ""),
        ("Status post partial left nephrectomy.", "", ""),
        ("No prior cholecystectomy.", "", ""),
        ("Scheduled for cholecystectomy.", "", ""),
        ("History of ovarian cystectomy.", "", ""),
        ("History of nephrectomy.", "", ""),
    ],
)
def test_organs_of(text: str, named: str, negated: str) -> None:
    assert organs_of(text) == (named.split(", ") if named else [], negated.split(", ") if negated else [])
