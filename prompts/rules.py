"""The right answer to an intent on one slice, and how clear it is: one rule a sort of intent, by geometry alone.

The same rules say what a prompt may truthfully be asked of a label map, and what a model means by "leftmost" on the
maps that it predicted. A rule is a function `(scene, intent) -> Answer or None`, registered under the name by which
kinds.yaml speaks of it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import cached_property
from typing import NamedTuple

import numpy as np
import pandera.pandas as pa

from corpus.anatomy import BY_ID, BY_NAME, UNIONS, with_unions
from corpus.errors import InputError
from prompts.facts import Shape, competitors, merge, position_leads, shapes, size_leads
from prompts.intent import POSITIONS, Intent, pair_of
from prompts.kinds import SPECIFICATIONS, Kind, kind_of, kinds
from prompts.relations import Borders, borders, gap_mm, relation_margins


class Answer(NamedTuple):
    """The id of the organ whose mask is right, and by how much it is: in mm, for sizes a ratio, for a plain name the
    area in mm2. Where the margin isn't positive (a ratio: not above 1) another answer is as good."""

    organ: int
    margin: float


class Scene:
    """What a slice shows, or the slices of a volume laid over each other; in the display frame.

    Args:
        labels: uint8 `[Z, H, W]` organ ids.
        spacing: (y, x) in mm.
        labelled: Organ ids that the source labels: a union competes only where its parts aren't among them.
    """

    def __init__(self, labels: np.ndarray, spacing: tuple[float, float], labelled: Collection[int]) -> None:
        self.labels, self.spacing, self.labelled = labels, spacing, frozenset(labelled)
        parts: dict[int, list[Shape]] = {}
        for label in labels:
            for organ, shape in shapes(label).items():
                parts.setdefault(organ, []).append(shape)
        self.shapes = {organ: merge(same, organ) for organ, same in sorted(parts.items())}
        self.competing = [self.shapes[organ] for organ in competitors(self.shapes, self.labelled)]
        self._gaps: dict[tuple[int, int], float] = {}

    @property
    def width(self) -> int:
        """Columns of the picture."""
        return int(self.labels.shape[-1])

    def there(self, organ: int) -> list[Shape]:
        """The shape of an organ or those of a union's parts; none where it isn't seen or, as a union, isn't known."""
        if organ not in with_unions(set(self.labelled)):
            return []
        return [self.shapes[part] for part in (organ, *UNIONS.get(organ, ())) if part in self.shapes]

    @cached_property
    def _borders(self) -> list[Borders]:
        return [borders(label, self.spacing) for label in self.labels]

    def gap(self, one: int, other: int) -> float:
        """The least distance in mm between pixels of two organs, in any slice that shows both."""
        pair = (min(one, other), max(one, other))
        if pair not in self._gaps:
            self._gaps[pair] = min(gap_mm(found, *pair) for found in self._borders)
        return self._gaps[pair]


Rule = Callable[[Scene, Intent], Answer | None]
RULES: dict[str, Rule] = {}
"""Every rule by name."""


def rule(name: str) -> Callable[[Rule], Rule]:
    """Register a rule."""

    def register(function: Rule) -> Rule:
        RULES[name] = function
        return function

    return register


def _rule_of(kind: Kind) -> Rule:
    """Raises: InputError: There is no rule of the name that kinds.yaml gives."""
    if kind.rule not in RULES:
        told = f"{kind.name}: expected `rule` to be one of {', '.join(RULES)}, found {kind.rule!r}"
        raise InputError(SPECIFICATIONS, told, "choose one, or add it to prompts/rules.py")
    return RULES[kind.rule]


def answer(scene: Scene, intent: Intent) -> Answer | None:
    """The right answer to an intent; None where there is none."""
    kind = kind_of(intent)
    return _rule_of(kind)(scene, intent) if kind else None


ANSWERS = pa.DataFrameSchema(
    {
        "slice_id": pa.Column(str),
        "kind": pa.Column(str),
        "target": pa.Column(str),
        "organ": pa.Column(str),
        "margin": pa.Column(float, pa.Check.gt(0)),
    },
    unique=["slice_id", "kind", "target"],
    strict=True,
)
"""One row a slice and target of a kind that has an answer there: the structure, and `Answer.margin`."""


def slice_answers(scene: Scene) -> list[dict]:
    """Every answer of one slice, with the columns of `ANSWERS` from `kind` on."""
    return [
        {"kind": kind.name, "target": target, "organ": BY_ID[found.organ].name, "margin": round(found.margin, 4)}
        for kind in kinds().values()
        for target, intent in kind.intents.items()
        if (found := _rule_of(kind)(scene, intent)) and round(found.margin, 4) > 0
    ]


@rule("named")
def named(scene: Scene, intent: Intent) -> Answer | None:
    """The structure itself."""
    organ = BY_NAME[str(intent.organ)].id
    if not (parts := scene.there(organ)):
        return None
    return Answer(organ, sum(part.pixels for part in parts) * scene.spacing[0] * scene.spacing[1])


@rule("extreme")
def extreme(scene: Scene, intent: Intent) -> Answer | None:
    """Who is furthest to one side, largest or smallest; with a rank, who comes second or third.

    See `prompts.facts`; of a rank, the margin is the smaller one of those over who comes before and who comes after.
    """
    found = scene.competing
    if len(found) < intent.rank:
        return None
    if intent.attribute in POSITIONS:
        leads = position_leads(found, scene.spacing, intent.rank)[intent.attribute]
    else:
        leads = size_leads(np.array([s.pixels for s in found], float), intent.rank)[str(intent.attribute)]
    best = int(leads.argmax())
    # Who is last in its row is second, or third, for want of others.
    alone = len(found) == intent.rank
    return Answer(found[best].organ, 0.0 if alone else float(leads[best]))


@rule("nearest")
def nearest(scene: Scene, intent: Intent) -> Answer | None:
    """The structure nearest to the anchor among those that lie on the given side of it (see `prompts.relations`).

    The margin is how far the answer is from another one: it lies on that side by so many mm, and everybody else either
    is so much further from the anchor, or so much short of lying on that side.
    """
    anchor = scene.there(BY_NAME[str(intent.organ)].id)
    own = {part.organ for part in anchor}
    rivals = [shape for shape in scene.competing if shape.organ not in own]
    if not anchor or not rivals:
        return None
    lies = relation_margins([*rivals, merge(anchor, 0)], scene.spacing)[str(intent.relation)][:-1, -1]
    gaps = np.array([min(scene.gap(shape.organ, organ) for organ in own) for shape in rivals])
    best = int(np.where(lies > 0, gaps, np.inf).argmin())
    if not (lies[best] > 0 and np.isfinite(gaps[best])):  # nobody is there in any slice that shows the anchor
        return None
    others = np.delete(np.maximum(-lies, gaps - gaps[best]), best)
    return Answer(rivals[best].organ, float(min([lies[best], *others])))


@rule("displayed")
def displayed(scene: Scene, intent: Intent) -> Answer | None:
    """Of a pair, the member that lies further to that side of the picture than the other; where only one is seen, that
    one, if it lies in that half of the picture."""
    pair = [BY_NAME[name].id for name in pair_of(str(intent.organ)) or ()]
    found = [scene.shapes[organ] for organ in pair if organ in scene.shapes]
    toward = "left of" if intent.attribute == "leftmost" else "right of"
    if len(found) == 2:
        margins = relation_margins(found, scene.spacing)[toward]
        best = int(margins[1, 0] > margins[0, 1])
        return Answer(found[best].organ, float(margins[best, 1 - best]))
    in_half = [s for s in found if (s.centroid[1] + 0.5 < scene.width / 2) == (toward == "left of")]
    return Answer(in_half[0].organ, 0.0) if in_half else None
