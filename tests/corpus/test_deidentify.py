"""De-identification, measured on made-up report sentences: what must go, and what must stay to the letter."""

import gzip
import json
import os
import random
import re
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from corpus.reports.deidentify import RULES, SURROGATES, Span, deidentify, deidentify_parts
from corpus.reports.readers import Report, ReportSource, read_reports
from tests.corpus.identifiers import Half, Sentence, by_rules, is_hidden, marked_sentences, measure, sentences

# fmt: off
FIRST = ["Maria", "James", "Wei", "Fatima", "Søren", "Priya", "Oluwaseun", "John", "Chloé", "Dmitri", "Aisha", "Björn",
         "Giulia", "Hiroshi", "Siobhan", "Kwame"]
LAST = ["Kowalski", "Smith", "O'Connor", "McAllister", "Nguyen", "Garcia-Lopez", "Østergaard", "Patel", "Okafor",
        "Schmidt", "Yamamoto", "D'Angelo", "Brown", "Young", "Fitzgerald", "Abernathy", "VanHouten", "DeLuca", "Petrov",
        "Müller"]
MONTHS = ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
          "December"]
# fmt: on
TOWNS = ["Springfield", "Riverton", "Oakdale", "Huron", "Cedar Falls", "Maple Grove"]
STREETS = ["Maple", "Washington", "Elm", "Lincoln", "Chestnut"]


def name(rng: random.Random) -> str:
    first, last = rng.choice(FIRST), rng.choice(LAST)
    return rng.choice([f"{first} {last}", last, f"{first[0]}. {last}", f"{first} {rng.choice('ABCDE')}. {last}"])


def full_name(rng: random.Random) -> str:
    return f"{rng.choice(FIRST)} {rng.choice(LAST)}"


def reversed_name(rng: random.Random) -> str:
    return f"{rng.choice(LAST)}, {rng.choice(FIRST)}".upper()


def date(rng: random.Random) -> str:
    y, m, d = rng.randint(1985, 2025), rng.randint(1, 12), rng.randint(1, 28)
    month = MONTHS[m - 1]
    return rng.choice(
        [
            f"{m}/{d}/{y}",
            f"{m:02d}/{d:02d}/{y % 100:02d}",
            f"{y}-{m:02d}-{d:02d}",
            f"{d:02d}.{m:02d}.{y}",
            f"{m}-{d}-{y}",
            f"{month} {d}, {y}",
            f"{d} {month} {y}",
            f"{d}-{month[:3]}-{y}",
            f"{month[:3]}. {d}, {y}",
            f"the {d}th of {month}, {y}",
            f"{month} {d}th",
            f"{month} {y}",
            f"{month} of {y}",
            f"{m:02d}/{y}",
            f"{month} twelfth, two thousand nineteen",
            f"the twenty-third of {month}",
        ]
    )


def phone(rng: random.Random) -> str:
    a, b, c = rng.randint(201, 989), rng.randint(200, 999), rng.randint(0, 9999)
    forms = [
        f"({a}) {b}-{c:04d}",
        f"{a}-{b}-{c:04d}",
        f"{a}.{b}.{c:04d}",
        f"+1 {a} {b} {c:04d}",
        f"{a}-{b}-{c:04d} ext. 12",
    ]
    return rng.choice([*forms, f"+44 20 7946 0{b}"])


def record(rng: random.Random) -> str:
    n = rng.randint(10000, 99999999)
    return rng.choice([str(n), f"{n:08d}", f"CT-{n}", f"A{n}", f"{n}-{rng.randint(1, 9)}"])


def address(rng: random.Random) -> str:
    town, street = rng.choice(TOWNS), rng.choice(STREETS)
    number, zip_code = rng.randint(1, 9999), rng.randint(10000, 99999)
    kind = rng.choice(["Street", "Ave.", "Road", "Blvd", "Lane"])
    return rng.choice(
        [
            f"{number} {street} {kind}, {town}, OH {zip_code}",
            f"{number} {street} {kind}",
            f"{number} North {street} {kind}, Apt 4B",
            f"{town}, IL {zip_code}",
            f"P.O. Box {number}",
        ]
    )


def facility(rng: random.Random) -> str:
    a, b = rng.choice(TOWNS + STREETS), rng.choice(TOWNS)
    return rng.choice(
        [
            f"{a} General Hospital",
            f"St. {rng.choice(FIRST[:4])}'s Hospital",
            f"{a} Medical Center",
            f"{a} {b} Clinic",
            f"University of {b} Hospital",
            f"{a.upper()} MEDICAL CENTER",
            f"{a} Imaging Associates",
            f"{b} Cancer Institute",
            "Mayo Clinic",
        ]
    )


MADE: dict[str, Callable[[random.Random], str]] = {
    "name": name,
    "full": full_name,
    "reversed": reversed_name,
    "date": date,
    "phone": phone,
    "record": record,
    "address": address,
    "facility": facility,
    "town": lambda rng: rng.choice(TOWNS),
    "state": lambda rng: rng.choice(["Ohio", "New Mexico", "Texas"]),
    "ssn": lambda rng: f"{rng.randint(100, 899)}-{rng.randint(10, 99)}-{rng.randint(1000, 9999)}",
    "email": lambda rng: f"{rng.choice(FIRST[:3]).lower()}.{rng.randint(1, 99)}@clinic-mail.org",
    "url": lambda rng: rng.choice(["https://portal.example.net/r?id=77", "www.hospital-pacs.com/study/9"]),
    "age": lambda rng: str(rng.randint(91, 104)),
    "short_date": lambda rng: f"{rng.randint(1, 12)}/{rng.randint(1, 28)}",
}

TEMPLATES = """
Dr. {name} reviewed the images and found a 3.2 x 1.4 cm cyst of the left kidney.
Findings were discussed with Dr. {name} by telephone at {phone} on {date}.
Mr. {name} is a 64-year-old man with abdominal pain; comparison is made with the CT of {date}.
Mrs. {name} was seen at {facility} on {date} for follow-up of a pancreatic mass, HU 45.
Ms. {name}'s spleen measures 14.5 cm.
Drs. {name} and {name} performed the resection.
Patient: {full}
PATIENT NAME: {reversed}
Patient Name: {full}, MRN: {record}, liver segment VI lesion 12/10 mm.
MRN {record}. Accession number: {record}.
Medical record number {record}, motor strength 5/5.
Accession #: {record}, study of the abdomen and pelvis.
DOB: {date}
Dictated by: {full}, MD
Electronically signed by {full}, M.D. on {date}
Signed by {full} at 14:32.
Read by {name}, MD, radiologist.
Interpreted by: {full}
{full}, M.D., Ph.D.
{full}, MD
Referring physician: {full}
ATTENDING PHYSICIAN: {reversed}, M.D.
Surgeon: {full}
SURGEON: {reversed}
Anesthesiologist: Dr. {name}
cc: Dr. {name}, fax {phone}
Dear Dr. {name}, thank you for referring this patient with a gallstone of 8 mm.
Discussed with {full} of surgery at 3:15 p.m.
This is a {age}-year-old woman with a fall; the left femoral head is intact.
The patient is {age} years old, PSA 4.5 ng/mL.
A {age} y/o man with L3 compression fracture and T12-L1 disc disease.
Aged {age}, with mild atrophy of the pancreas.
The patient lives at {address}.
He lives in {town} and works as a teacher; the aorta measures 2.1 cm.
She is from {town}, {state}, with Crohn disease of the terminal ileum.
Home address: {address}
Call {phone} with questions.
Phone: {phone}. Fax: {phone}.
Contact {email} or see {url} for the images.
SSN {ssn}.
Social security number: {ssn}
Transferred from {facility} for a grade 3/5 laceration of the spleen.
The biopsy was done at {facility} in {date}.
CT performed at {facility}, dated {date}: stable 4 mm nodule.
Prior study {date} showed a 2-3 mm stone, 120/80 mmHg.
Seen on {short_date} with a drain of 10 French.
The last colonoscopy on {date} was normal to the cecum.
Her daughter, {full}, is at the bedside.
His wife {full} reports jaundice.
The patient, {full}, has cirrhosis.
{full} is a 45-year-old man with hematuria.
Admitted {date}, discharged {date}; creatinine 1.4 mg/dL.
Follow up with Dr. {name} in 6-8 weeks at {facility}.
Nurse {name} removed the Foley catheter on {date}.
Transcribed by {full} on {date}
Findings were called to {full} at {phone} on {date}.
/s/ {full}
Specimen number: {record}, gastric biopsy x 3.
D/W Dr {name} at 14:30 {date}.
Case d/w {full} (surgery).
Pt {full} with RUQ pain.
RN {full} aware.
GP: Dr A {name}
Age/Sex: {age}/M
Mr {name}, {age}, presented on {date}.
{full} (DOB {date})
RE: {reversed}
Re: {full}, DOB {date}
Thank you for referring {full} to our clinic.
I had the pleasure of seeing {full} today.
Preliminary report by {full}, resident.
Ordering provider {full}; order #: {record}
COMPARISON: {date}, {date} and {date}.
Surgeons: {full}, {full}
Patient ID {record}, insurance ID: {record}
""".strip().split("\n")

CLINICAL = """
The left kidney measures 10.5 x 4.2 x 5.1 cm. HU 45 on portal venous phase, 120 kVp.
A 12/10 mm lymph node lies at L3; 2-3 mm stones, 5/5 strength, 2/6 systolic murmur, blood pressure 120/80.
Grade 3 laceration, segments II/III and IVa; T12-L1 and L4-5 are normal. Ki-67 is 20%.
Bosniak IIF cyst of the right kidney. Murphy sign positive; a Foley catheter is in the bladder.
Whipple procedure with a Roux-en-Y limb; Crohn disease of the terminal ileum; Meckel diverticulum; pouch of Douglas.
The Patient Denies Pain. No Hydronephrosis. Morison pouch contains fluid; Gerota fascia is thick.
Slices 3-10-12 mm, series 4 image 102, 5 mm reconstruction, CTDIvol 12.4 mGy.
Oral contrast 900 mL, 100-150 mL of Omnipaque 350 at 3 mL/s, flip angle 90 degrees.
CA 19-9 is 37 U/mL, PSA 4.5 ng/mL, hemoglobin 10/13 g/dL, platelets 250000, lipase 1200.
Portal vein 13 mm, splenic vein 9 mm, aorta 2.1 cm, IVC 22 mm; LI-RADS 4, PI-RADS 5, BI-RADS 2.
Reviewed with Radiology and discussed with Surgery. Seen by Cardiology. Follow-up may be obtained in 3-6 months.
HOSPITAL COURSE: The patient did well. The pain management clinic was consulted. Emergency Room visit.
The 64-year-old man weighs 95 kg, is 178 cm tall and has a body temperature of 98 F; heart rate 92 bpm.
Surgeon: None. Attending present: Yes. Complications: None. Drains: Jackson-Pratt x 2. Patient: Male.
1. Liver: normal. 2. Spleen: 11.5 cm. 3. Colon: diverticulosis 10-15 cm from the anal verge. ASA 3.
Vicryl 3-0 and 4-0 Monocryl; 10/500 mg; 70/30 mixture; 1/2 inch; 16-gauge; 1:100,000 epinephrine; C3-C4; S1.
The stomach, duodenum, colon, rectum, gallbladder, esophagus, prostate and seminal vesicles are unremarkable.
He marched on. She may improve. The right adrenal gland may be an adenoma, 10 HU, washout 65%.
MR of the abdomen; MS is stable; mild MR and TR; DR plates; PA and lateral chest.
Gerota's fascia, Morison's pouch, the triangle of Calot, Hartmann's pouch and Couinaud segments II to VIII are normal.
A 3.4 x 2.1 cm mass, L2-L3, T1/T2 weighted, series 5 image 23, T2N0M0, exam: 2/6 murmur, BP 127/97, HR 85, RR 16.
An Allen test was normal. A #10 Bard Parker blade. Midas Rex drill. Indigo Carmine dye. The Vena Cava is unremarkable.
Transferred to Recovery in stable condition. Seen with Groshong tip. Anesthesia: LMA. Vent management per TEE along with
COPD. Specimen #3 labeled prostate. Operating room #2. Hospital Course: unremarkable. Labs: GS, CBC, PT, PTT, 8%
hematocrit. Meds: Lasix, ASA and Dilantin 400 mg daily. Pain 3/10 to 2/10. C4-C5 plates; the end plates of C5. BI-RADS
4a. Winslow, Treitz, Oddi, Vater, Toldt, Glisson and Denonvilliers; Klatskin tumor; Mirizzi syndrome; Child-Pugh B;
Spigelian hernia.
A 12 Fr Foley catheter; Lt Kidney 10 cm; a Jackson-Pratt drain; Hasson trocar; Kocher maneuver; Veress needle.
Delta HU 40-60, 100-150 mL, 120 kVp, 250 mAs, CTDIvol 12.4 mGy, DLP 654.3 mGy cm, b-values 0, 400 and
800, TE 2.3 ms.
Approved: yes. Verified: no change. Checked by CT. Referrer: GP surgery. Ref MD: unknown. Technologist: none.
PATIENT NAME AND DATE OF BIRTH VERIFIED. Patient name - see the label. Ordering MD: pending. Surgeon: aware.
ΔHU 12, 1ª, 5 µm. From 3.5.10 cm to 2.1 cm; version 3.1.10.
""".strip().split("\n")


def filled(template: str, rng: random.Random) -> tuple[str, list[tuple[int, int]]]:
    """A sentence with identifiers, and where they stand."""
    text, spans = "", []
    for part in re.split(r"(\{\w+\})", template):
        piece = MADE[part[1:-1]](rng) if part.startswith("{") else part
        if part.startswith("{"):
            spans.append((len(text), len(text) + len(piece)))
        text += piece
    return text, spans


def measured(seed: int, n: int) -> tuple[float, float, Counter[str]]:
    """(recall, precision) over identifiers, and what was missed. One is found where no letter of it is left."""
    rng = random.Random(seed)
    n_true = n_found = n_replaced = n_right = 0
    missed: Counter[str] = Counter()
    for i in range(n):
        template = TEMPLATES[i % len(TEMPLATES)]
        text, spans = filled(template, rng)
        replaced = [(r.start, r.end) for r in deidentify(text, "s")[1]]
        for start, end in spans:
            left = [c for k, c in enumerate(text[start:end], start) if not any(a <= k < b for a, b in replaced)]
            found = not re.search(r"[^\W_]", re.sub(r"\b(?:the|of)\b|'s", "", "".join(left)))
            n_true, n_found = n_true + 1, n_found + found
            if not found:
                missed[f"{template} -> {text[start:end]}"] += 1
        for start, end in replaced:
            n_replaced += 1
            n_right += any(a < end and start < b for a, b in spans)
    return n_found / n_true, n_right / n_replaced, missed


def test_recall_and_precision_on_a_varied_seeded_set() -> None:
    recall, precision, missed = measured(seed=7, n=len(TEMPLATES) * 12)
    assert recall >= 0.97, missed.most_common(20)
    assert precision >= 0.99


@pytest.mark.parametrize("text", CLINICAL)
def test_anatomy_and_measurements_stay_to_the_letter(text: str) -> None:
    assert deidentify(text, "s") == (text, [])


def test_builtin_texts_have_no_identifiers_and_stay() -> None:
    for report in read_reports("builtin", ReportSource("builtin", "corpus/reports/builtin")):
        assert isinstance(report, Report)
        assert deidentify_parts([report]) == [(report, Counter())]


def test_surrogates_are_consistent_within_a_report_and_differ_between_names() -> None:
    text = "Dr. Anna Kowalski saw Mr. Petrov. Kowalski agreed with PETROV on 3/4/2019; again on 3/4/2019 and 3/5/2019."
    clean, replacements = deidentify(text, "salt")
    surrogates = {text[r.start : r.end].casefold(): r.surrogate.casefold() for r in replacements}
    assert surrogates["anna kowalski"] == surrogates["kowalski"] != surrogates["petrov"]
    assert surrogates["3/4/2019"] != surrogates["3/5/2019"]
    assert len(replacements) == 7
    assert deidentify(text, "salt")[0] == clean
    assert deidentify(text, "other")[0] != clean


def test_surrogates_hold_nothing_of_the_original() -> None:
    one, other = (deidentify(f"Dr. {name} on {day}, MRN {mrn}.", "s")[0] for name, day, mrn in PEOPLE)
    assert one == other


PEOPLE = [("Kowalski", "3/4/2019", "8812345"), ("Nguyen", "11/30/2001", "4477")]


def test_overlapping_finds_are_replaced_as_one() -> None:
    def finds(text: str) -> Iterable[Span]:
        return [Span("name", 4, 12), Span("facility", 9, 20)]

    clean, replacements = deidentify("see John Smith Hospital today", "s", [finds])
    assert [(r.kind, r.start, r.end) for r in replacements] == [("facility", 4, 20)]
    assert clean.startswith("see Example Hospital")


def test_a_library_recogniser_joins_the_rules() -> None:
    def library(text: str) -> Iterable[Span]:
        return (Span("name", *m.span()) for m in re.finditer("zbyszek", text))

    text = "Seen with zbyszek on 3/4/2019."
    assert "zbyszek" in deidentify(text, "s")[0]
    clean, replacements = deidentify(text, "s", (*RULES, library))
    assert "zbyszek" not in clean
    assert [r.kind for r in replacements] == ["name", "date"]


@pytest.mark.parametrize("half", ["development", "held_out"])
def test_recall_on_awkward_identifiers(half: Half) -> None:
    there, found, missed = measure(by_rules, half, seed=11, n=600)
    assert there.total() > 500
    assert found.total() / there.total() >= 0.99, missed


@pytest.mark.parametrize("half", ["development", "held_out"])
def test_awkward_identifiers_leave_the_words_around_them(half: Half) -> None:
    n_replaced = n_right = 0
    for sentence in sentences(half, seed=12, n=300):
        for start, end in by_rules(sentence.text):
            n_replaced += 1
            n_right += any(a < end and start < b for _, a, b in sentence.identifiers)
    assert n_right / n_replaced >= 0.98


def test_recall_at_first_sight() -> None:
    """Of sentences that the rules weren't fitted to they find five in six: the floor is there to be raised."""
    found = [is_hidden(s.text, *i[1:], by_rules(s.text)) for s in marked_sentences("unseen") for i in s.identifiers]
    assert len(found) == 71
    assert sum(found) / len(found) >= 0.82


@pytest.mark.parametrize("sentence", [*marked_sentences("survived")], ids=lambda sentence: sentence.text)
def test_what_once_survived_goes(sentence: Sentence) -> None:
    replaced, there = by_rules(sentence.text), [(start, end) for _, start, end in sentence.identifiers]
    assert all(is_hidden(sentence.text, start, end, replaced) for start, end in there)
    assert all(any(a <= start and end <= b for a, b in there) for start, end in replaced)


def test_the_halves_share_no_form() -> None:
    one, other = ({s.text for s in sentences(half, seed=1, n=50)} for half in ("development", "held_out"))
    assert len(one) == len(other) == 50
    assert not one & other


REAL = Path(os.environ.get("FLANS_REAL_DATA", "../shared/real")) / "text_mtsamples"


@pytest.mark.skipif(not REAL.is_dir(), reason=f"the real sentences aren't in {REAL} (set FLANS_REAL_DATA)")
def test_real_clinical_sentences_keep_their_words() -> None:
    """Of 4,474 sentences that name abdominal organs, hardly one has more than a date."""
    with gzip.open(REAL / "abdominal_sentences.jsonl.gz", "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    found = [(r.kind, row["text"][r.start : r.end]) for row in rows for r in deidentify(row["text"], "s")[1]]
    other = [text for kind, text in found if kind not in ("date", "facility", "age")]
    assert len(found) < 120
    assert len(other) <= 4, other


def test_every_kind_has_a_surrogate() -> None:
    rng = random.Random(0)
    texts = [filled(t, rng)[0] for t in TEMPLATES for _ in range(3)] + [s.text for s in sentences("held_out", 0, 300)]
    kinds = {span.kind for text in texts for rule in RULES for span in rule(text)}
    assert kinds == SURROGATES.keys()
