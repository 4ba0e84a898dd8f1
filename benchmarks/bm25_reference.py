"""BM25 in numpy with tantivy's formula and parameters: every passage's score, to compare engines and mixtures with."""

import math
from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

K1, B = 1.2, 0.75
Matrix = NDArray[np.float32]


class Bm25:
    """An index of passages given as terms."""

    def __init__(self, passages: Sequence[Sequence[str]]) -> None:
        self._count = len(passages)
        lengths = np.array([len(terms) for terms in passages], dtype=np.float32)
        norms = K1 * (1 - B + B * lengths / max(float(lengths.mean()), 1e-9))
        postings: dict[str, list[tuple[int, int]]] = defaultdict(list)
        for number, terms in enumerate(passages):
            for term, frequency in Counter(terms).items():
                postings[term].append((number, frequency))
        self._postings: dict[str, tuple[NDArray[np.int64], Matrix]] = {}
        for term, entries in postings.items():
            numbers, frequencies = np.array(entries).T
            weights = self._idf(len(entries)) * (K1 + 1) * frequencies / (frequencies + norms[numbers])
            self._postings[term] = (numbers, weights.astype(np.float32))

    def scores(self, queries: Sequence[Sequence[str]]) -> Matrix:
        """Shape (queries, passages). A term counts once per query."""
        out = np.zeros((len(queries), self._count), dtype=np.float32)
        for row, terms in zip(out, queries, strict=True):
            for term in set(terms) & self._postings.keys():
                numbers, weights = self._postings[term]
                row[numbers] += weights
        return out

    def ceilings(self, queries: Sequence[Sequence[str]]) -> Matrix:
        """The limit of each query's score as term frequencies grow; shape (queries,)."""
        limits = [
            (K1 + 1) * sum(self._idf(len(self._postings[term][0]) if term in self._postings else 0) for term in terms)
            for terms in map(set, queries)
        ]
        return np.array(limits, dtype=np.float32)

    def _idf(self, frequency: int) -> float:
        return math.log(1 + (self._count - frequency + 0.5) / (frequency + 0.5))
