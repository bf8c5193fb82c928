"""The stack of bits that everything is coded on: an ANS coder, last in, first out.

How the codec of a model uses it. Coding an image is a sequence of pops and pushes of integers, and decoding undoes each of
them in the opposite order, a push for a pop:

- Data that are coded are pushed: with `push` under a uniform distribution, with `push_symbols` under any distribution that is
  given as integers, with `tfflows.compression.bins` under a Gaussian or a logistic on a grid of integers.
- Noise that the coding needs is popped, and decoding pushes it back (bits-back coding): it costs nothing. Where the stack is
  too short for a pop while images are coded, noise words are put below it; these are the initial bits. What is popped is what was
  pushed before, such as the latents of another image, which a model may not expect as its noise: noise that a model sees is
  masked by `random_masks`.
- Pops and pushes that belong together take turns, `Stack.chunk` integers at a time, so that a stack need not be long.

Everything that is given to the stack is an integer, so nothing depends on how a machine rounds. Integers that follow from the
output of a network follow from what is left of it after rounding (`tfflows.compression.exact.round_to`).

References:
  Duda 2013, https://arxiv.org/abs/1311.2540 (ANS); Townsend et al. 2019, https://arxiv.org/abs/1901.04866 (bits-back with ANS);
  Bamler 2022, https://arxiv.org/abs/2201.01741 (the coder that is used here).
"""

import functools
import hashlib
from collections.abc import Callable

import numpy as np

from tfflows.extras import require

# Integers of one turn between pops and pushes.
CHUNK = 256
# A base that is a power of two is coded exactly up to here; others lose about base / 2**25 of a bit.
MAX_BASE = 1 << 23
_PIECE = 16
# Bases of more bits are cut into 2**9 to 2**10 pieces, whose shares of 2**18 are rounded.
_WHOLE_BITS, _NUM_PIECE_BITS, _SHARE_PRECISION = 14, 10, 18
# So many bits stay below every pop: a coder on fewer than its state holds is not as if there were noise below.
_MARGIN = 64
_START_WORDS = 1
_BLOCK_WORDS = 8


class StackExhaustedError(ValueError):
    """A stack that decodes has no more bits, as that of a file that was cut."""


class Stack:
    """A stack of integers under uniform distributions.

    Attributes:
      chunk: Integers of one turn between pops and pushes, the same when decoding as when coding.
      num_noise_words: Number of words of initial noise, uint32 each.

    Example:
      >>> import numpy as np
      >>> from tfflows.compression.coder import Stack
      >>> stack = Stack()
      >>> stack.push(np.array([3, 1, 4]), 10)
      >>> stack.push(np.array([5, 92]), np.array([6, 100]))
      >>> received = Stack(stack.words())
      >>> print(received.pop(np.array([6, 100])), received.pop(10, 3))
      [ 5 92] [3 1 4]

      Noise is there to be popped when images are coded, and is what decoding leaves:

      >>> stack = Stack()
      >>> noise = stack.pop(1 << 8, 1000)
      >>> stack.push(noise, 1 << 8)
      >>> stack.holds_noise_alone(), stack.num_noise_words >= 250
      (True, True)
    """

    def __init__(self, words: np.ndarray | None = None) -> None:
        """Creates the stack.

        Args:
          words: uint32 words that a stack gave, to decode from; a pop beyond them is an error. None: an empty stack to code on,
            below which noise is put where a pop needs it.

        Raises:
          MissingExtraError: If the package `constriction` is not installed.
          StackExhaustedError: If there are no words, or their last one is zero, which no stack gives.
        """
        self._refills = words is None
        if words is None:
            # A coder on fewer bits than its state holds would push other bits than one with noise below.
            words = np.append(_noise(0, _START_WORDS), np.uint32(1))
        words = np.ascontiguousarray(words, np.uint32)
        if not words.size or not words[-1]:
            raise StackExhaustedError("There are no words to decode from, or not those that a stack gave.")
        self._coder = _ans_coder()(words)
        self.num_noise_words = _START_WORDS if self._refills else 0
        self.chunk = CHUNK

    @property
    def num_bits(self) -> int:
        """Number of bits on the stack."""
        return self._coder.num_bits()

    def copy(self) -> "Stack":
        """A stack of the same bits, for what may have to be undone."""
        made = Stack.__new__(Stack)
        made._refills, made.num_noise_words = self._refills, self.num_noise_words
        made._coder, made.chunk = self._coder.clone(), self.chunk
        return made

    def words(self) -> np.ndarray:
        """The stack as uint32 words, the top last."""
        return self._coder.get_compressed()

    def holds_noise_alone(self) -> bool:
        """Whether the stack is what it was before the first image was coded, except for noise below."""
        words = self.words()
        return int(words[-1]) == 1 and np.array_equal(words[:-1], _noise(0, len(words) - 1)[::-1])

    # ------------------------------------------------------------------------------------------------------- uniform

    def push(self, values: np.ndarray, bases: int | np.ndarray) -> None:
        """Pushes integers `0 ... base - 1`, each under the uniform distribution of its base.

        Args:
          values: Integers `[...]`.
          bases: An integer, or an array of the same shape; 1 to `MAX_BASE`. A value of base 1 is 0 and takes no bits.

        Raises:
          ValueError: If a value or a base is out of its range.
        """
        values = np.ravel(values)
        if np.ndim(bases) == 0:
            _check_range(values, int(bases))
            if values.size and bases > 1:
                self._coder.encode_reverse(_int32(values), _uniform(int(bases)))
            return
        bases = np.ravel(bases)
        _check_range(values, bases)
        if bases.size and bases.min() == 1:
            values, bases = values[bases > 1], bases[bases > 1]
        if values.size:
            self._coder.encode_reverse(_int32(values), _uniform(None), _int32(bases))

    def pop(self, bases: int | np.ndarray, count: int | None = None) -> np.ndarray:
        """Pops integers that were pushed with the same bases.

        Args:
          bases: An integer, or an array.
          count: Number of integers, where `bases` is an integer.

        Returns:
          int64 `[count]`, or of the shape of `bases`.

        Raises:
          StackExhaustedError: If the stack decodes and is too short.
        """
        if np.ndim(bases) == 0:
            if bases == 1 or not count:
                return np.zeros(count or 0, np.int64)
            self._fill_up(count * int(bases).bit_length())
            return self._decoded(_uniform(int(bases)), count)
        flat = np.ravel(bases)
        out = np.zeros(flat.size, np.int64)
        if flat.size:
            greatest = int(flat.max())
            self._fill_up(flat.size * greatest.bit_length())
            if flat.min() > 1:
                out = self._decoded(_uniform(None), _int32(flat))
            elif greatest > 1:
                out[flat > 1] = self._decoded(_uniform(None), _int32(flat[flat > 1]))
        return out.reshape(np.shape(bases))

    def push_bits(self, values: np.ndarray, num_bits: int | np.ndarray) -> None:
        """Pushes integers `0 ... 2**num_bits - 1`; `num_bits` is an integer, or an array of their shape, 0 to 62."""
        values, num_bits = np.ravel(values), np.ravel(num_bits) if np.ndim(num_bits) else num_bits
        # One base for all is coded in half the time.
        if np.ndim(num_bits) and num_bits.size and (num_bits == num_bits[0]).all():
            num_bits = int(num_bits[0])
        for done in reversed(_pieces(num_bits)):
            size = np.clip(num_bits - done, 0, _PIECE)
            self.push((values >> done) & ((1 << size) - 1), 1 << size)

    def pop_bits(self, num_bits: int | np.ndarray, count: int | None = None) -> np.ndarray:
        """Pops what `push_bits` pushed; int64 `[count]`, or of the shape of `num_bits`."""
        shape = np.shape(num_bits) if np.ndim(num_bits) else (count or 0,)
        if np.size(num_bits) > 1 and (num_bits == np.ravel(num_bits)[0]).all():
            return self.pop_bits(int(np.ravel(num_bits)[0]), np.size(num_bits)).reshape(shape)
        total = np.zeros(shape, np.int64)
        for done in _pieces(num_bits):
            total |= self.pop(1 << np.clip(num_bits - done, 0, _PIECE), count) << done
        return total

    def push_below(self, values: np.ndarray, bases: np.ndarray) -> None:
        """Pushes integers `0 ... base - 1` of bases below 2**33, of which large ones would be wasteful in one piece.

        Args:
          values: Integers `[N]`.
          bases: Integers `[N]`, at least 1.
        """
        unit = _units(bases)
        high = values >> unit
        left = np.minimum(bases - (high << unit), 1 << unit)
        large = unit > 0
        self.push_bits(values & ((1 << unit) - 1), np.where(left == 1 << unit, unit, 0))
        rest = large & (left < 1 << unit)
        if rest.any():
            self.push((values - (high << unit))[rest], left[rest])
        starts, ends = _shares(high, unit, bases)
        if large.any():
            self.push_intervals(starts[large], (ends - starts)[large], _SHARE_PRECISION)
        if not large.all():
            self.push(values[~large], bases[~large])

    def pop_below(self, bases: np.ndarray) -> np.ndarray:
        """Pops what `push_below` pushed; int64 `[N]`."""
        unit = _units(bases)
        large = unit > 0
        values = np.zeros(bases.shape, np.int64)
        if not large.all():
            values[~large] = self.pop(bases[~large])
        if large.any():
            own_unit, own_bases = unit[large], bases[large]

            def find(points, part):
                high = (points * own_bases[part]) >> (_SHARE_PRECISION + own_unit[part])
                # The share of a piece begins at the next integer.
                starts, ends = _shares(high, own_unit[part], own_bases[part])
                high += points >= ends
                starts, ends = _shares(high, own_unit[part], own_bases[part])
                return high, starts, ends - starts

            high = np.zeros_like(values)
            high[large] = self.pop_intervals(len(own_unit), _SHARE_PRECISION, find)
            left = np.minimum(bases - (high << unit), 1 << unit)
            rest = large & (left < 1 << unit)
            values += high << unit
            if rest.any():
                values[rest] += self.pop(left[rest])
            values += self.pop_bits(np.where(left == 1 << unit, unit, 0))
        return values

    # ------------------------------------------------------------------------------------------- other distributions

    def push_intervals(
        self, starts: np.ndarray, widths: np.ndarray, precision: int, masks: np.ndarray | None = None
    ) -> None:
        """Pushes symbols to which a distribution gives the intervals `[start, start + width)` of `[0, 2**precision)`.

        A point of the interval is popped and then pushed uniformly: in all `precision - log2(width)` bits.

        Args:
          starts: Integers `[N]`.
          widths: Integers `[N]`, at least 1.
          precision: At most 23.
          masks: Integers `[N]` that are subtracted from the points, modulo `2**precision`; see `pop_intervals`.
        """
        for part in reversed(self.chunks(len(starts))):
            points = starts[part] + self.pop(widths[part])
            if masks is not None:
                points = (points - masks[part]) & ((1 << precision) - 1)
            self.push(points, 1 << precision)

    def pop_intervals(
        self,
        count: int,
        precision: int,
        find: Callable[[np.ndarray, slice], tuple[np.ndarray, np.ndarray, np.ndarray]],
        masks: np.ndarray | None = None,
    ) -> np.ndarray:
        """Pops what `push_intervals` pushed.

        Args:
          count: Number of symbols.
          precision: As in `push_intervals`.
          find: `(points, part) -> (symbols, starts, widths)` of those in whose intervals the points are; `part` is the slice of
            the symbols `0 ... count - 1` that is asked for.
          masks: Integers `[count]` that are added to the points, modulo `2**precision`. If they look random, so do symbols that
            are popped as noise, whatever is on the stack, such as what has just been pushed under nearly the same distributions.

        Returns:
          The symbols, int64 `[count]`.
        """
        symbols = np.empty(count, np.int64)
        for part in self.chunks(count):
            points = self.pop(1 << precision, part.stop - part.start)
            if masks is not None:
                points = (points + masks[part]) & ((1 << precision) - 1)
            symbols[part], starts, widths = find(points, part)
            self.push(points - starts, widths)
        return symbols

    def push_symbols(self, symbols: np.ndarray, cdfs: np.ndarray, precision: int) -> None:
        """Pushes symbols `0 ... S - 1`, each under its own distribution.

        Args:
          symbols: Integers `[...]`.
          cdfs: Integers `[..., S + 1]` that rise strictly from 0 to `2**precision`: the sums of the probabilities before each
            symbol, as `quantize_cdf` makes them.
          precision: At most 23.
        """
        flat, rows = np.ravel(symbols), np.reshape(cdfs, [-1, np.shape(cdfs)[-1]])
        places = np.arange(len(flat))
        starts = rows[places, flat]
        self.push_intervals(starts, rows[places, flat + 1] - starts, precision)

    def pop_symbols(self, cdfs: np.ndarray, precision: int) -> np.ndarray:
        """Pops what `push_symbols` pushed; int64 `[...]`."""
        rows = np.reshape(cdfs, [-1, np.shape(cdfs)[-1]])

        def find(points, part):
            own = rows[part]
            symbols = np.sum(own[:, 1:-1] <= points[:, np.newaxis], axis=1)
            places = np.arange(len(own))
            starts = own[places, symbols]
            return symbols, starts, own[places, symbols + 1] - starts

        return self.pop_intervals(len(rows), precision, find).reshape(np.shape(cdfs)[:-1])

    def chunks(self, count: int) -> list[slice]:
        """The slices of `0 ... count - 1` between which pops and pushes take turns."""
        return [slice(start, min(start + self.chunk, count)) for start in range(0, count, self.chunk)]

    # ---------------------------------------------------------------------------------------------------------- noise

    def _decoded(self, model, argument):
        values = self._coder.decode(model, argument).astype(np.int64)
        if self._coder.num_bits() < _MARGIN:
            raise StackExhaustedError("The stack has fewer bits than what is to be decoded.")
        return values

    def _fill_up(self, num_bits):
        """Puts noise below where a pop of so many bits would reach the bottom."""
        count = -(-(num_bits + _MARGIN - self._coder.num_bits()) // 32)
        if self._refills and count > 0:
            below = _noise(self.num_noise_words, count)[::-1]
            self._coder = _ans_coder()(np.concatenate([below, self.words()]))
            self.num_noise_words += count


def quantize_cdf(cdf: np.ndarray, precision: int) -> np.ndarray:
    """Integers that rise strictly from 0 to `2**precision`, near `cdf * 2**precision`: what `Stack.push_symbols` takes.

    Every symbol keeps a probability of at least `2**-precision`.

    Args:
      cdf: float64 `[..., S + 1]` that rises from 0 to 1, the same bits wherever it is computed (see
        `tfflows.compression.exact`).
      precision: At most 23; `2**precision` must exceed S.

    Example:
      >>> import numpy as np
      >>> from tfflows.compression.coder import quantize_cdf
      >>> print(quantize_cdf(np.array([0.0, 0.5, 0.5, 1.0]), precision=4))
      [ 0  7  8 16]
    """
    num_symbols = np.shape(cdf)[-1] - 1
    total = (1 << precision) - num_symbols
    scaled = np.floor(np.clip(cdf, 0.0, 1.0) * float(total)).astype(np.int64)
    scaled[..., 0], scaled[..., -1] = 0, total
    return np.maximum.accumulate(scaled, axis=-1) + np.arange(num_symbols + 1)


def seeds_of(events: np.ndarray) -> np.ndarray:
    """Seeds for `random_masks` that follow from the bits of events `[B, ...]`; uint64 `[B]`."""
    events = np.ascontiguousarray(events, events.dtype.newbyteorder("<"))
    digests = [hashlib.sha256(event).digest()[:8] for event in events]
    return np.frombuffer(b"".join(digests), "<u8").astype(np.uint64)


def random_masks(seeds: np.ndarray, shape: tuple[int, ...], precision: int, stream: int = 0) -> np.ndarray:
    """Integers below `2**precision` that look random, int64 `[B, *shape]`.

    Args:
      seeds: uint64 `[B]`, one for each of the events.
      shape: Shape of an event, of at most 2**32 numbers.
      precision: At most 32.
      stream: Events of other streams are other ones.

    References:
      The mixing function is that of SplitMix64, https://doi.org/10.1145/2714064.2660195.
    """
    places = np.arange(int(np.prod(shape)), dtype=np.uint64) + np.uint64(stream << 32)
    mixed = seeds[:, np.newaxis] + places * np.uint64(0x9E3779B97F4A7C15)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    mixed = mixed ^ (mixed >> np.uint64(31))
    return (mixed >> np.uint64(64 - precision)).astype(np.int64).reshape([len(seeds), *shape])


def _noise(start, count):
    """Words number `start ... start + count - 1` of a fixed sequence that looks random."""
    first, last = start // _BLOCK_WORDS, -(-(start + count) // _BLOCK_WORDS)
    blocks = [hashlib.sha256(b"tfflows noise" + number.to_bytes(8, "little")).digest() for number in range(first, last)]
    words = np.frombuffer(b"".join(blocks), "<u4").astype(np.uint32)
    return words[start - first * _BLOCK_WORDS :][:count]


def _units(bases):
    """Bits of the pieces that large bases are cut into; 0 for small bases."""
    _, digits = np.frexp(bases.astype(np.float64))
    return np.where(digits > _WHOLE_BITS, digits - _NUM_PIECE_BITS, 0).astype(np.int64)


def _shares(high, unit, bases):
    """Where the share of piece number `high` begins and ends, of `2**_SHARE_PRECISION`."""
    starts, ends = ((np.minimum((high + more) << unit, bases) << _SHARE_PRECISION) for more in (0, 1))
    return -(-starts // bases), -(-ends // bases)


def _pieces(num_bits) -> range:
    return range(0, int(np.max(num_bits, initial=0)), _PIECE)


def _int32(values):
    return np.ascontiguousarray(values, np.int32)


def _check_range(values, bases):
    if values.size and (values.min() < 0 or (values >= bases).any() or np.min(bases) < 1 or np.max(bases) > MAX_BASE):
        raise ValueError(f"Values to push must be 0 to base - 1, and bases 1 to {MAX_BASE}.")


def _ans_coder():
    return require("constriction", "compression").stream.stack.AnsCoder


@functools.cache
def _uniform(base):
    uniform = require("constriction", "compression").stream.model.Uniform
    return uniform() if base is None else uniform(base)
