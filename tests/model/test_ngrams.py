"""Word n-grams: of a text alone, in order, with names and without."""

from __future__ import annotations

import torch
from torch import Tensor

from model.encoders.ngrams import BUCKETS, LONGEST, NGRAMS, ngrams
from model.encoders.text import Wording
from model.intent_head import WordingClassifier


def of(*texts: list[int], named: tuple[int, ...] = ()) -> Tensor:
    """The n-grams of texts of word pieces, some of which are names."""
    pieces = torch.tensor([piece for text in texts for piece in text])
    position = torch.cat([torch.arange(len(text)) for text in texts])
    return ngrams(pieces, torch.isin(pieces, torch.tensor(named)), position)


def test_they_are_of_a_text_alone_and_of_the_pieces_so_far() -> None:
    first, second = [7, 8, 9, 10], [11, 12]
    both = of(first, second)
    assert both.dtype == torch.int32
    assert both.shape == (6, NGRAMS)
    assert torch.equal(both, torch.cat([of(first), of(second)]))
    for length in (1, 2, 3):
        assert torch.equal(of(first)[:length], of(first[:length]))
    assert (both[2:4] > 0).all()
    assert both.max() < BUCKETS
    begins = both.view(6, 2, LONGEST) == 0
    assert begins[0].tolist() == begins[4].tolist() == [[False, True, True]] * 2
    assert begins[1].tolist() == begins[5].tolist() == [[False, False, True]] * 2


def test_order_counts_but_for_single_pieces() -> None:
    there, back = of([7, 8, 9]), of([9, 8, 7])
    assert set(there[:, 0].tolist()) == set(back[:, 0].tolist())
    for n in range(1, LONGEST):
        assert not set(there[n:, n].tolist()) & set(back[n:, n].tolist())


def test_half_of_them_hide_which_structure_is_named() -> None:
    liver, spleen = of([7, 20, 9], named=(20,)), of([7, 21, 9], named=(21,))
    as_they_are, hidden = (liver == spleen).view(3, 2, LONGEST).unbind(1)
    assert hidden.all()
    assert as_they_are[1].tolist() == [False, False, True], "nothing ends there yet"
    assert as_they_are[2].tolist() == [True, False, False]


def test_an_opinion_on_a_text_hangs_on_no_other() -> None:
    torch.manual_seed(0)
    opinion = WordingClassifier().eval()
    first, second = [7, 8, 9, 10], [11, 12]
    both = opinion(Wording(of(first, second), torch.tensor([4, 2]))).kind
    for row, text in zip(both, (first, second), strict=True):
        alone = opinion(Wording(of(text), torch.tensor([len(text)]))).kind[0]
        torch.testing.assert_close(row, alone)
    assert not torch.allclose(both[0], both[1])


def test_few_of_many_share_a_bucket() -> None:
    pieces = torch.arange(1000, 31000)
    found = ngrams(pieces, torch.zeros_like(pieces, dtype=torch.bool), pieces)
    for n in range(LONGEST):
        # Of 131,071 urns into which 30,000 balls fall by chance, 26,800 hold some.
        assert len(found[:, n].unique()) > 26_500
