"""How many images at once: found while the work is done, and never so many that a page waits for it."""

from dataclasses import dataclass, field

LONGEST = 0.1  # seconds of a batch
AGAIN = 64  # batches


@dataclass
class BatchSize:
    """The number of forward passes that a CPU does fastest together.

    Few passes pay for calling each layer, many for activations that no longer fit into the caches: 28 × 28
    images in batches of 1,024 took 1.3 times as long as in batches of 256. So every power of two is tried
    once, up to a tenth of a second, and then the fastest is taken.

    Attributes:
        seconds: Of one pass, by the power of two below their number.
    """

    seconds: dict[int, float] = field(default_factory=dict)
    batches: int = 0

    def passes(self, limit: int) -> int:
        """The next batch, at most `limit`; 1 before anything is known."""
        if not self.seconds:
            return 1
        fastest = min(self.seconds, key=lambda size: self.seconds[size])
        longest = max(1, min(limit, int(LONGEST / self.seconds[fastest])))
        more = 2 * max(self.seconds)
        if more <= longest:
            return more
        # Now and then half and double are looked at again: they may have been unlucky.
        again = {AGAIN // 2: fastest // 2, 0: 2 * fastest}.get(self.batches % AGAIN, fastest)
        return min(max(1, again), longest)

    def took(self, passes: float, seconds: float) -> None:
        """Remember how long a batch took.

        The first ones pay for warming up, and others use the machine too: the faster of two times is nearer
        to the truth.
        """
        self.batches += 1
        size = 1 << max(0, int(passes).bit_length() - 1)
        one = max(seconds / passes, 1e-9)
        self.seconds[size] = min(one, 0.5 * (self.seconds.get(size, one) + one))
