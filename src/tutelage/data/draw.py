"""Drawing images from a pool without replacement: class-balanced, in proportion, or the rest."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tutelage.errors import UserError

Indices = NDArray[np.int64]


class Pool:
    """The images of a source that no split has taken yet, in an order fixed by `seed`.

    `labels` is int64 [N], with values below len(class_names). Every draw gives positions into it,
    sorted, int64.
    """

    def __init__(self, labels: NDArray[np.int64], class_names: tuple[str, ...], seed: int) -> None:
        self._names = class_names
        self._rng = np.random.Generator(np.random.PCG64(seed))
        self._queues = [
            self._rng.permutation(np.flatnonzero(labels == label))
            for label in range(len(class_names))
        ]

    @property
    def left(self) -> int:
        """How many images no split has taken."""
        return sum(len(queue) for queue in self._queues)

    def balanced(self, count: int, key: str) -> Indices:
        """`count` images, equally many of each class; where that leaves a remainder, one more of
        the classes with most images, ties by lot.

        Raises UserError, which names `key`, when there are too few, in all or of one class.
        """
        if count > self.left:
            raise UserError(
                f"{count} images are asked for; there are {self.left}.",
                where=key,
                fix="Ask for fewer.",
            )
        each, over = divmod(count, len(self._names))
        sizes = self._sizes()
        largest_first = np.lexsort((self._rng.permutation(len(sizes)), -sizes))
        counts = np.full(len(sizes), each)
        counts[largest_first[:over]] += 1
        short = np.flatnonzero(counts > sizes)
        if len(short):
            label = int(short[0])
            raise UserError(
                f"{count} class-balanced images need {counts[label]} of class "
                f"'{self._names[label]}'; {sizes[label]} are left of it.",
                where=key,
                fix="Ask for fewer, or leave it out to take images as the classes come.",
            )
        return self._take(counts)

    def proportional(self, count: int) -> Indices:
        """`count` images (at most `left`), of each class as its share of what is left."""
        sizes = self._sizes()
        exact = count * sizes / sizes.sum()
        counts = np.floor(exact).astype(np.int64)
        largest_rest_first = np.argsort(counts - exact, kind="stable")
        counts[largest_rest_first[: count - counts.sum()]] += 1
        return self._take(counts)

    def rest(self) -> Indices:
        """All images that are left."""
        return self._take(self._sizes())

    def _sizes(self) -> Indices:
        return np.array([len(queue) for queue in self._queues], dtype=np.int64)

    def _take(self, counts: Indices) -> Indices:
        taken = [queue[:count] for queue, count in zip(self._queues, counts, strict=True)]
        self._queues = [queue[count:] for queue, count in zip(self._queues, counts, strict=True)]
        return np.sort(np.concatenate(taken))
