"""How many images at once: found while the work is done, and never so many that a page waits for it."""

from dataclasses import dataclass, field

LONGEST_BATCH = 0.1  # seconds
LONGEST_BATCH_THAT_PAYS = 0.5  # seconds, where every doubling makes a pass so much cheaper:
SHARE_OF_TIME_THAT_PAYS = 0.85
BATCHES_UNTIL_ANOTHER_LOOK = 64


@dataclass
class BatchSize:
    """The number of forward passes that a CPU does fastest together.

    Few passes pay for calling each layer, many for activations that no longer fit into the caches: 28 × 28
    images in batches of 1,024 took 1.3 times as long as in batches of 256. So every power of two is tried
    once, up to a tenth of a second, and then the fastest is taken. Some networks pay a price for each call
    whatever the batch (weights that are standardized anew): there larger batches are tried for as long as
    each doubling pays, up to half a second.

    Attributes:
        seconds: Of one pass, by the power of two below their number.
        batches: How many batches were done.
    """

    seconds: dict[int, float] = field(default_factory=dict)
    batches: int = 0

    def passes(self, limit: int) -> int:
        """The next batch, at most `limit`; 1 before anything is known."""
        if not self.seconds:
            return 1
        more = 2 * max(self.seconds)
        if more <= limit and self._is_worth_a_try(more):
            return more
        fitting = [size for size in self.seconds if size <= limit and self._may_be_used(size)] or [1]
        fastest = min(fitting, key=lambda size: self.seconds.get(size, 0.0))
        # Now and then half and double are looked at again: they may have been unlucky.
        when = self.batches % BATCHES_UNTIL_ANOTHER_LOOK
        if when == BATCHES_UNTIL_ANOTHER_LOOK // 2:
            return max(1, fastest // 2)
        if when == 0 and 2 * fastest <= limit and 2 * self._batch(fastest) <= 2 * LONGEST_BATCH:
            return 2 * fastest
        return fastest

    def price_of_a_call(self) -> float:
        """How many passes cost as much as calling the layers once, whatever the batch; 0 while unknown.

        A batch takes `price + number of passes`; two sizes tell both. Weights that are standardized anew in
        every call are such a price.
        """
        if not {4, 8} <= self.seconds.keys():
            return 0.0
        four, eight = self._batch(4), self._batch(8)
        one = (eight - four) / 4
        return max(0.0, 2 * four - eight) / one if one > 0 else 8.0

    def _batch(self, size: int) -> float:
        """Seconds of a batch of that size."""
        return size * self.seconds.get(size, 0.0)

    def _pays(self, size: int) -> bool:
        """Whether a pass is much cheaper than in a batch of half the size; it may be, if that is unknown."""
        half = self.seconds.get(size // 2)
        return half is None or self.seconds.get(size, half) <= SHARE_OF_TIME_THAT_PAYS * half

    def _is_worth_a_try(self, size: int) -> bool:
        longest = LONGEST_BATCH_THAT_PAYS if self._pays(size // 2) else LONGEST_BATCH
        return 2 * self._batch(size // 2) <= longest

    def _may_be_used(self, size: int) -> bool:
        """A batch is short, or it pays to take so many at once."""
        if self._batch(size) <= LONGEST_BATCH:
            return True
        half = size // 2
        usable = half in self.seconds and (half == 1 or self._may_be_used(half))
        return usable and self._pays(size) and self._batch(size) <= LONGEST_BATCH_THAT_PAYS

    def took(self, passes: float, seconds: float) -> None:
        """Remember how long a batch took.

        The first ones pay for warming up, and others use the machine too: the faster of two times is nearer
        to the truth.
        """
        self.batches += 1
        size = 1 << max(0, int(passes).bit_length() - 1)
        one = max(seconds / passes, 1e-9)
        self.seconds[size] = min(one, 0.5 * (self.seconds.get(size, one) + one))
