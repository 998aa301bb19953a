"""What a user should doubt of `flans segment`'s answers."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from corpus.anatomy import BY_NAME, Mention, with_unions
from model.groups import IDENTITY, NAMES
from model.inference import Segmentation
from model.judging import Judgement
from prompts.intent import PAIRS, SIDES, Intent, pair_of
from prompts.wording.cues import names, unsided
from prompts.wording.plainly import plainly
from prompts.wording.spelling import mend

SURELY_THERE = 0.999
"""On held-out phantoms a structure that a volume shows has a pixel that is surer; see README "Limits"."""
UP_AND_DOWN = ("topmost", "bottommost", "above", "below")
TWO_SIDED = ("lung", "seminal vesicles")
"""Structures that lie on both sides, under one name."""
_SIDE = re.compile(r"\b(?:left|right)(?!\s+(?:now|here|away)\b)", re.IGNORECASE)
_ONE_SIDE = re.compile(
    r"(?i)\b(?:left|right|lt|rt)(?![a-z])(?!\s+(?:now|here|away)\b)|\b[lr](?=[\s._-]*lung)|(?<=lung)[\s,_-]+[lr]\b"
)
_BOTH_SIDES = re.compile(
    r"(?i)\b(?:both|bilateral|left\W*(?:and|or|\+|&|/)\W*(?:the )?right|right\W*(?:and|or|\+|&|/)\W*(?:the )?left)\b"
)
_ARTICLE = r"\s+(?:(?:the|my|his|her|its|an?)\s+)?"
_EXCEPT = re.compile(rf"(?i)\b(?:isn['\u2019]?t|besides|aside from|minus|but){_ARTICLE}$")
"""Right before the name of a structure that is left out, where the name doesn't count as negated."""
_RANK = re.compile(
    r"(?i)\b(?:fourth|fifth|sixth|seventh|eighth|ninth|tenth|(?:[4-9]|10)th)[\s-]+"
    r"(?:\w+(?:est|most)\b|(?:organ|structure|thing|one)\b|in size|from)"
)
_PICTURE = re.compile(r"(?i)\b(?:imag|pict|pic\b|screen|display|view|frame\b|monitor)")
_PATIENTS = re.compile(
    r"(?i)\b(?<!not the )(?:patient|anatomical)\S*\s+(?:left|right)|(?:left|right)\s+(?:side\s+)?of the patient|"
    r"\bpatient(?:'s)?\s+(?:coordinates?|frame|space|point of view|perspective|side)|\banatomically\b|\bpatient's own\b"
)
_BESIDE = re.compile(
    r"(?i)\b(?:(?<!difference )(?<!differentiate )(?<!distinguish )between\b[^.,:;?!]*|"
    r"(?:medial|lateral|anterior|posterior|superior|inferior|next|adjacent|close|nearest) to|"
    rf"in front of|behind|beside|near|under|beneath){_ARTICLE}$"
)
"""Right before the name of a structure that is a neighbour of what is asked for."""
_WORD = r"\s(?:and|plus|as well as|(?:along |together )?with|followed by|or|(?:and )?then|but also|und|et|y)\s"
_DRAW = r"(?:(?:also|then|and)\s+)*(?:outline|mark|segment|show|draw|trace|contour|highlight|delineate)\s+(?:me\s+)?"
_AND = re.compile(
    rf"(?i)\s*(?:(?:[,;&+/]|[,;.]?{_WORD})\s*(?:{_DRAW})?|\.\s*{_DRAW})(?:also\s+)?(?:(?:the|my|both)\s+)?"
)
_JOINED = re.compile(rf"(?i)[&+;.]|{_WORD}")
_NAMED = (
    r"lobes?|head|neck|tail|uncinate process|cortex|medulla|hilum|(?:upper|lower) poles?|fundus|antrum|cardia|pylorus|"
    r"half|tip|bulb|segments? (?:\d|i[iv]|v)[iv]*[a-d]?\b"
)
_PART = (
    rf"(?:{_NAMED}|parts?|portions?|third|sections?|walls?|ducts?|sinus|pelvis|apex|dome|edge|border|limb|crus|zone)"
)
_PART_BEFORE = re.compile(rf"(?i)\b(?:{_PART}|body)(?:\s+\S+)?\s+of{_ARTICLE}$")
_PART_AFTER = re.compile(rf"(?i)(?:['\u2019]s?)?\s+(?:\w+\s+)?{_PART}\b")
_PART_NAMED = re.compile(
    rf"(?i)\b(?:{_NAMED}|sigmoid|ascending|transverse|descending|c(?:a?e|æ)cum|ileum|jejunum|flexure|arch|thoracic)\b"
)
"""Names of the vocabulary that are a part's."""
_PART_SIDED = re.compile(
    r"(?i)\b(?:(?:left|right)(?:[\s-]sided)?\s+(?:colon|liver|pancreas|stomach|prostate|portal)|"
    r"(?:proximal|distal|infrarenal)\s+\w+|(?:caudate|quadrate|middle)\s+lobe|ampulla)\b"
)
"""A part that is called so wherever the name of its structure stands, if it stands at all."""
_PLACE = re.compile(
    r"(?i)\b(?:corner|cent(?:re|er|ral)(?:most)?|in the middle|middle one|quadrant|"
    r"(?:upper|lower|top|bottom)[\s-]+(?:left|right)(?![\s-]?most))\b"
)
_ALONG_BODY = re.compile(
    r"(?i)\b(?:cranial(?:ly)?|caudal(?:ly)?|cephalad|caudad|(?:most|more|lies|just|directly)\s+(?:superior|inferior)(?:ly)?|"
    r"superior(?:most)? to|inferior(?:most)? to|(?:nearest|closest|next) to the (?:head|feet))\b"
)
_WHOLE = re.compile(r"(?i)\b(?:whole|entire|complete|all|both|incl\w*|together|contents|to|through)\b|[+/]")
"""Where a text names a part and asks for more."""


def of_answer(i: int, result: Segmentation, empty: bool) -> list[str]:
    """What to doubt of the answer to prompt `i`.

    Args:
        empty: Whether its mask's file is: what is narrower than oblong pixels are long can fall between them.
    """
    understood = result.request.understood[i]
    warnings = _of_mask(result.masks[i], understood.intent, float(result.surest[i]), empty)
    if understood.confidence < 0.5:
        warnings.append("The model is not sure what was asked for.")
    if result.request.cut[i]:
        warnings.append("The text is so long that only its beginning and its end were read.")
    text = mend(result.request.asked[i])
    if (plain := plainly(text)) != mend(result.request.prompts[i]):
        warnings.append(f"Read as: {plain}")
    return warnings + _of_reading(text, understood.intent, result.organs[i])


def _of_mask(mask: np.ndarray, intent: Intent, surest: float, empty: bool) -> list[str]:
    warnings = []
    if intent.kind == "none":
        return []  # the text is to blame
    if not mask.any():
        warnings.append("The structure was not found, so the mask is empty.")
    elif empty:
        warnings.append("The structure fell between the scan's oblong pixels, so the mask is empty.")
    elif len(mask) > 1 and surest < SURELY_THERE:
        usual = f"over {SURELY_THERE:.1%} where a scan shows the structure"
        warnings.append(f"It may not be there: its surest pixel has {surest:.2%}, {usual}.")
    if len(mask) > 1 and (intent.attribute or intent.relation) in UP_AND_DOWN:
        warnings.append("Above and below are read as in an axial picture: towards its top, not towards the head.")
    return warnings


def _of_reading(text: str, intent: Intent, found: str | None) -> list[str]:
    """Where a text says what the model can't tell, or says it of another structure than the one that was found."""
    warnings = []
    mentions = names(text).all
    named = [mention.organ for mention in mentions if not mention.negated]
    sides = {side.lower() for side in _SIDE.findall(text)}
    plainly = intent.kind in ("anatomy", "none") and not (intent.attribute or intent.negated)
    pair = unsided(text) if plainly and len(sides) != 1 else None
    if pair and (PAIRS.get(str(intent.organ)) == pair or intent.organ not in named):
        warnings.append(f"One {pair} can be asked for at a time: ask for the left and the right one.")
    elif intent.kind == "none":
        warnings.append("This doesn't read as a request for a structure, so the mask is empty.")
    if plainly and intent.organ in TWO_SIDED and _ONE_SIDE.search(text) and not _BOTH_SIDES.search(text):
        warnings.append(f"Its sides aren't told apart: this is all of the {intent.organ}.")
    if intent.kind == "anatomy" and intent.attribute and found:
        side = intent.attribute.removesuffix("most")
        warnings.append(f"Taken for the picture's {side}, not the patient's: this is the patient's {found}.")
    if intent.kind in ("position", "size", "relation") and _ALONG_BODY.search(text):
        warnings.append(f"Head and feet lie beyond an axial picture: this is what is {intent.target} in it.")
    if intent.kind in ("position", "size"):
        return warnings + _of_rank(text, mentions, intent, found)
    return warnings + _of_name(text, mentions, intent)


def _of_rank(text: str, mentions: Sequence[Mention], intent: Intent, found: str | None) -> list[str]:
    """Where an extreme is asked for, and of other structures than all."""
    warnings = []
    named = [each for each in mentions if not (each.negated or _EXCEPT.search(text[: each.start]))]
    meant = {name for each in named for name in (each.organ, *(pair_of(each.organ) or ()))}
    if len(named) < len(mentions):
        warnings.append(f"No structure is left out: this is the {intent.target} one of all.")
    elif meant and found and found not in meant:
        warnings.append(f"The {named[0].organ} is named, but this is the one asked for among all structures.")
    if _RANK.search(text):
        warnings.append(f"Only the first three of a row are told apart: this is the {intent.target} one.")
    if intent.kind == "position" and _PLACE.search(text):
        warnings.append(f"Corners and the centre aren't told apart: this is the {intent.target} one.")
    if intent.attribute in SIDES and _PATIENTS.search(text):
        warnings.append(f"Taken for the picture's {intent.attribute.removesuffix('most')}, not the patient's.")
    return warnings


def _of_name(text: str, mentions: Sequence[Mention], intent: Intent) -> list[str]:
    """Where a structure is named, and another one, several, or a part of it may be asked for."""
    if intent.relation:
        side = intent.relation.removesuffix(" of")
        plain = side in ("left", "right") and (_PATIENTS.search(text) or not _PICTURE.search(text))
        return [f"Taken for the picture's {side}, not the patient's."] if plain else []
    if intent.kind != "anatomy" or intent.negated or intent.attribute:
        return []
    named = [each.organ for each in mentions if not each.negated]
    other = next((each for each in pair_of(PAIRS.get(str(intent.organ), "")) or () if each != intent.organ), None)
    if other in named and intent.organ not in named:
        return [f"The {other} is named, but this is the {intent.organ}."]
    own = [each for each in mentions if each.organ == intent.organ and not each.negated]
    if _PART_SIDED.search(text) and not _WHOLE.search(text):
        return [f"Parts aren't told apart: this is all of the {intent.organ}."]
    ruled_out = any(each.organ == intent.organ for each in mentions)
    if all(_EXCEPT.search(text[: each.start]) for each in own) and (own or ruled_out):
        return [f"This is the {intent.organ}, though the text may leave just that out."]
    if not own:
        return []
    if all(_BESIDE.search(text[: each.start]) for each in own):
        return [f"This is the {intent.organ} itself, though the text may ask for what lies by it."]
    listed = [each for row in _lists(text, mentions) for each in row]
    if all(each in listed for each in own):
        return [f"Several structures are named, and this is the {intent.organ} alone: ask for each by itself."]
    parts = (
        _PART_BEFORE.search(text[: each.start])
        or _PART_AFTER.match(text[each.end :])
        or _PART_NAMED.search(text[each.start : each.end])
        for each in own
    )
    if all(parts) and "femur" not in str(intent.organ) and not _WHOLE.search(text):
        return [f"Parts aren't told apart: this is all of the {intent.organ}."]
    return []


def _lists(text: str, mentions: Sequence[Mention]) -> list[list[Mention]]:
    """Rows of names of different structures, with "and" or the like among them, three at least, or the whole text."""
    rows: list[list[Mention]] = [[]]
    for each in sorted((each for each in mentions if not each.negated), key=lambda each: each.start):
        if rows[-1]:
            last = rows[-1][-1]
            kin = each.organ in (last.organ, PAIRS.get(last.organ)) or last.organ == PAIRS.get(each.organ)
            if kin or not _AND.fullmatch(text[last.end : each.start]):
                rows.append([])
        rows[-1].append(each)

    def listed(row: list[Mention]) -> bool:
        between, around = text[row[0].end : row[-1].start], text[: row[0].start] + text[row[-1].end :]
        return bool(_JOINED.search(between)) or not re.search(r"\w", around)

    return [row for row in rows if len(row) > 2 or (len(row) == 2 and listed(row))]


def of_training(sources: Mapping[str, Mapping[str, Any]], modality: str) -> list[str]:
    """What to doubt of all answers, by what the model has learned from.

    Args:
        sources: `training.sources` of the checkpoint's configuration.
        modality: The scan's.
    """
    warnings = []
    known = sorted({each for source in sources.values() for each in source["modality"]})
    if known and modality not in known:
        warnings.append(f"The model has learned from {' and '.join(known)} alone; this is {modality}.")
    if sources and all(source.get("synthetic") for source in sources.values()):
        warnings.append("The model has learned from synthetic patients alone: on real ones it is for trying out.")
    return warnings


def of_organ(organ: str | None, sources: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What to doubt of a structure's mask, by the same."""
    labelled = with_unions({BY_NAME[name].id for source in sources.values() for name in source["organs"]})
    if organ is None or not labelled or BY_NAME[organ].id in labelled:
        return []
    return [f"In training no {organ} was labelled: this mask is a guess."]


def of_scan(
    result: Segmentation, mended: tuple[str, ...], header: bool, judged: Judgement, posed: bool = True
) -> list[str]:
    """What to doubt of the scan, whatever was asked.

    Args:
        mended: What was put right in its files.
        header: Whether it has one that says how it lies.
        judged: What the rules of anatomy say of it.
        posed: Whether the model has a canonicalizer, which finds the pose.
    """
    warnings = [f"The scan was mended: {note}." for note in mended]
    element = int(result.pose.element)
    if judged.reversed:
        warnings.append("The pixels contradict the header: the slices seem to run from head to feet.")
    if not bool(result.pose.sure):
        if IDENTITY not in judged.elements:
            warnings.append("The pixels contradict the header: the scan looks turned or mirrored.")
        taken = "taken to lie as the header says" if header else f"best guess: {NAMES[element]}"
        how = "unsure" if posed else "not judged, as the model has no canonicalizer"
        warnings.append(f"Pose {how} ({taken}): check left and right.")
    elif element != IDENTITY:
        said = "The pixels contradict the header: the scan" if header else "The picture"
        warnings.append(
            f"{said} looks turned or mirrored ({NAMES[element]} brings it upright); R and L are drawn accordingly."
        )
    if degrees := round(float(result.pose.degrees)):
        warnings.append(f"The patient lies askew: turned by {degrees} degrees counter-clockwise to be segmented.")
    return warnings
