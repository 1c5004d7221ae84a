"""The noise against its declared law, and its numbers against the same bits at high precision."""

from __future__ import annotations

import math
import random

import mpmath
import numpy as np
import pytest
import torch
from scipy import stats

from dpsynth_assets.privacy import noise as noise_module
from dpsynth_assets.privacy.noise import ERROR, RARE, GaussianNoise, box_muller
from dpsynth_assets.privacy.randomness import SecretStream

CHANCE = 1e-6
EXTREME = [0, 1, 2**20, 2**39 - 1, 2**39, 2**62, 2**63 - 2**39, 2**63 - 2**39 - 512, 2**63 - 2, 2**63 - 1]
TURNS = [0, 2**64 - 1, *(quarter * 2**62 + step for quarter in range(1, 4) for step in (-1, 0, 1)), 2**61, 2**64 // 3]


def draw(standard_deviation: float, *shape: int) -> torch.Tensor:
    total = torch.zeros(shape)
    GaussianNoise(standard_deviation).add_([total])
    return total


class Given:
    """A stream of words that the test chose; what is asked for after them is drawn, and remembered by the place."""

    def __init__(self, words):
        self._words = np.array(words, dtype=np.uint64)
        self._stream = SecretStream()
        self.asked = []

    def words(self, count):
        self.asked.append(count)
        given, self._words = self._words[:count], self._words[count:]
        return np.concatenate([given, self._stream.words(count - len(given))])


def given(words, standard_deviation=1.0):
    noise = GaussianNoise(standard_deviation)
    noise._stream = Given(words)
    return noise


def reference(radius_bits: int, angle_bits: int, later: float = 0.5):
    """Both numbers of a pair with 200 digits, if the bits to come were `later` of the last one drawn."""
    with mpmath.workdps(200):
        uniform = (mpmath.mpf(radius_bits % 2**63) + later) / mpmath.mpf(2) ** 63
        angle = (mpmath.mpf(angle_bits) + later) / mpmath.mpf(2) ** 63 * mpmath.pi
        radius = mpmath.sqrt(-2 * mpmath.log(uniform))
        return radius * mpmath.cos(angle), radius * mpmath.sin(angle)


# --- the law


@pytest.mark.parametrize("deviation", [2.5, 1e-3, 1.0])
def test_noise_is_gaussian_with_the_declared_deviation(deviation):
    sample = draw(deviation, 300, 200).flatten().double().numpy() / deviation
    assert stats.kstest(sample, "norm").pvalue > CHANCE
    count = len(sample)
    for power, moment, variance in [(1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)]:
        z = ((sample**power).mean() - moment) / math.sqrt(variance / count)
        assert abs(z) < stats.norm.isf(CHANCE), power


def test_the_tails_hold_what_they_should():
    sample = np.abs(draw(1.0, 3_000_000).numpy())
    for edge in (3.0, 4.0, 4.8):
        share = 2 * stats.norm.sf(edge)
        assert stats.binomtest(int((sample > edge).sum()), len(sample), share).pvalue > CHANCE


def test_coordinates_parameters_and_steps_get_fresh_noise():
    noise = GaussianNoise(1.0)
    step = []
    for _ in range(2):
        sums = [torch.zeros(20_000), torch.zeros(20_000)]
        noise.add_(sums)
        step.append(sums)
    half = 10_000  # the two numbers of a pair lie half a chunk apart
    for a, b in [
        (step[0][0], step[0][1]),
        (step[0][0], step[1][0]),
        (step[0][0][:-1], step[0][0][1:]),
        (step[0][0][:half], step[0][0][half:]),
        (step[0][0][:half].square(), step[0][0][half:].square()),
    ]:
        assert stats.pearsonr(a.numpy(), b.numpy()).pvalue > CHANCE


def test_no_two_runs_share_their_noise():
    assert not torch.equal(draw(1.0, 100), draw(1.0, 100))


def test_a_seed_set_by_anybody_does_not_reach_the_noise():
    torch.manual_seed(0)
    first = draw(1.0, 100)
    torch.manual_seed(0)
    assert not torch.equal(first, draw(1.0, 100))


def test_noise_is_added_to_the_sum_not_put_in_its_place():
    total = torch.full((50_000,), 7.0)
    GaussianNoise(1.0).add_([total])
    assert stats.ttest_1samp(total.numpy(), 7.0).pvalue > CHANCE


def test_zero_deviation_leaves_the_sum_alone():
    assert torch.equal(draw(0.0, 5), torch.zeros(5))


@pytest.mark.parametrize("shape", [(0,), (1,), (3, 5), ((1 << 15) + 1,), (2, 1 << 15)])
def test_every_shape_gets_noise_everywhere(shape):
    total = draw(1.0, *shape)
    assert total.shape == shape
    # A coordinate is 0, of some 2^15 likely multiples, about once in 10^4.
    assert int((total == 0).sum()) <= 1 + total.numel() // 1000


# --- the grid


@pytest.mark.parametrize("deviation", [0.3, 1.0, 1.7, 123.4, 3e-7])
def test_outputs_lie_on_a_public_grid_of_that_fineness(deviation):
    noise = GaussianNoise(deviation)
    spacing = noise.spacing
    assert math.frexp(spacing)[0] == 0.5  # a power of two
    assert deviation / 2**13 < spacing <= deviation / 2**12
    total = torch.randn(100_000) * 10 * deviation
    noise.add_([total])
    multiples = total.double() / spacing
    assert torch.equal(multiples, multiples.round())
    # All residues are hit alike: no coarser grid hides inside.
    counts = np.bincount((multiples.long() % 16).numpy(), minlength=16)
    assert stats.chisquare(counts).pvalue > CHANCE


def test_the_output_depends_on_the_sum_s_low_bits_only_where_they_move_the_nearest_multiple():
    """For the same bits, the sum and the sum with other low bits give the same, but for those the rounding parts."""
    words = SecretStream().words(20_000)
    low = torch.rand(20_000, dtype=torch.float64) * 2.0**-30
    values = torch.randn(20_000, dtype=torch.float64)
    plain, moved = given(words).release(values), given(words).release(values + low)
    differ = (plain != moved).double().mean()
    # A number is parted with probability (how far it moved) / spacing: 2^-31 / 2^-12 of them on average.
    assert stats.binomtest(int(differ * 20_000), 20_000, 2.0**-19).pvalue > CHANCE
    assert float((moved - plain).abs().max()) <= 2.0**-12


@pytest.mark.parametrize("deviation", [1e-40, 1e40, math.inf, math.nan])
def test_deviations_without_a_grid_are_refused(deviation):
    with pytest.raises(ValueError, match="cannot be drawn"):
        GaussianNoise(deviation)


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf])
def test_a_sum_that_is_no_number_is_refused_and_not_said(wrong):
    total = torch.zeros(1000)
    total[17] = wrong
    with pytest.raises(FloatingPointError, match="not a finite number"):
        GaussianNoise(1.0).add_([total])


def test_sums_that_dwarf_the_noise_are_rounded_right_all_the_same():
    """2^45 spacings: float64 has no place for the fraction of such a sum with its noise, the settled value has."""
    values = torch.full((64,), 2.0**33 + 1, dtype=torch.float64)
    words = SecretStream().words(64)
    released = given(words).release(values)
    for index in range(32):
        for value, number in zip(
            released[index::32], reference(int(words[index]), int(words[32 + index])), strict=True
        ):
            with mpmath.workdps(60):
                assert int(mpmath.nint((2**33 + 1 + number) * 2**12)) == int(value * 2**12)


# --- the bound, and what happens beyond it


def test_float64_stays_within_the_declared_error_whatever_bits_follow():
    """Thousands of random pairs and all extreme ones that float64 is trusted with, at both ends of what follows."""
    rng = random.Random()
    inside = [bits for bits in EXTREME if RARE <= bits / 2**63 <= 1 - RARE]
    pairs = [(a, b) for a in inside for b in TURNS]
    pairs += [(rng.randrange(2**39, 2**63 - 2**39), rng.randrange(2**64)) for _ in range(4000)]
    pairs += [(rng.randrange(2**39, 2**45), rng.randrange(2**64)) for _ in range(200)]
    pairs += [(2**63 - rng.randrange(2**39, 2**42), rng.randrange(2**64)) for _ in range(200)]
    words = np.array([a for a, _ in pairs] + [b for _, b in pairs], dtype=np.uint64)
    _, numbers = box_muller(torch.from_numpy(words.view(np.int64)), 1.0)
    worst = 0.0
    for index, (a, b) in enumerate(pairs):
        for later in (0.0, 1.0):
            for number, exact in zip(numbers[index :: len(pairs)].tolist(), reference(a, b, later), strict=True):
                worst = max(worst, float(abs(number - exact)))
    assert worst < ERROR / 2


def test_released_values_are_the_nearest_multiples_of_the_exact_numbers():
    rng = random.Random()
    pairs = [(a, b) for a in EXTREME for b in TURNS] + [
        (rng.randrange(2**63), rng.randrange(2**64)) for _ in range(3000)
    ]
    values = torch.tensor([rng.gauss(0, 5) for _ in range(2 * len(pairs))]).double()
    deviation = 1.37
    noise = given([a for a, _ in pairs] + [b for _, b in pairs], deviation)
    released = noise.release(values) / noise.spacing
    unsure = 0
    for index, (a, b) in enumerate(pairs):
        ends = [reference(a, b, later) for later in (1e-30, 1.0)]
        for second in (0, 1):
            place = index + second * len(pairs)
            with mpmath.workdps(60):
                both = [
                    int(mpmath.nint((mpmath.mpf(float(values[place])) + deviation * end[second]) / noise.spacing))
                    for end in ends
                ]
            if both[0] == both[1]:
                assert int(released[place]) == both[0], (a, b)
            else:
                unsure += 1
    assert unsure < 3 * len(TURNS)  # those of U below 2^-60 or so, which the bits do not decide


def test_settling_everything_gives_what_is_released_without(monkeypatch):
    """An error so large that no number is clear: the same bits must give the same values by intervals."""
    words, values = SecretStream().words(3000), torch.randn(2999, dtype=torch.float64) * 3
    plain = given(words, 0.7).release(values)
    monkeypatch.setattr(noise_module, "ERROR", 1.0)
    noise = given(words, 0.7)
    settled = noise.release(values)
    assert torch.equal(plain, settled)
    assert noise._stream.asked == [3000]  # and 63 bits were enough


def test_bits_that_do_not_decide_are_followed_by_others_and_both_numbers_share_them():
    """U's 63 bits are zero: the radius is anything above 9.3, and both coordinates must come from one radius."""
    noise = given([0, 2**61 + 2**55])  # an angle of a quarter turn and a bit: cosine and sine have a known ratio
    first, second = noise.release(torch.zeros(2, dtype=torch.float64)).tolist()
    assert len(noise._stream.asked) > 1
    turn = (2**61 + 2**55) * 2.0**-63 * math.pi
    assert math.hypot(first, second) > math.sqrt(2 * 63 * math.log(2)) - 1e-3
    assert first / math.cos(turn) == pytest.approx(second / math.sin(turn), abs=4 * noise.spacing)


def hair_from_half_way(number, hair: float = 0.0) -> tuple[float, float]:
    """A sum that puts sum + number `hair` above half-way between two multiples of 2^-12, and the half-way point."""
    with mpmath.workdps(200):
        half_way = mpmath.floor(number * 2**12) / 2**12 + mpmath.mpf(2) ** -13
        return float(half_way - number + hair), float(half_way)


@pytest.mark.parametrize(
    ("radius_bits", "angle"),
    [
        *((bits, 2**20) for bits in (2**62, 2**30, 2**20, 2**63 - 2**10)),  # hardly any angle: U's further bits decide
        (2**62, 2**62),  # a quarter turn: V's do
    ],
)
def test_a_number_half_way_is_decided_by_the_bits_that_follow(radius_bits, angle):
    """Half-way lies in the middle of what the first bits leave open, for usual and for extreme ones."""
    value, half_way = hair_from_half_way(reference(radius_bits, angle)[0])
    answers = []
    for _ in range(300):
        noise = given([radius_bits, angle])
        answers.append(float(noise.release(torch.tensor([value], dtype=torch.float64))[0]))
        assert len(noise._stream.asked) > 1
    assert set(answers) == {half_way - 2.0**-13, half_way + 2.0**-13}
    assert stats.binomtest(answers.count(max(answers)), 300, 0.5).pvalue > CHANCE


def test_a_hair_from_half_way_is_still_rounded_right():
    """Sums chosen such that the exact number lies 2^-54 above or below half-way, which float64 cannot tell."""
    rng = random.Random()
    pairs = [(rng.randrange(2**61, 2**63 - 2**52), rng.randrange(2**64)) for _ in range(300)]
    wanted, values = [], []
    for second in (0, 1):
        for a, b in pairs:
            hair = rng.choice([-1, 1]) * 2.0**-54
            value, half_way = hair_from_half_way(reference(a, b)[second], hair)
            values.append(value)
            wanted.append(half_way + math.copysign(2.0**-13, hair))
    released = given([a for a, _ in pairs] + [b for _, b in pairs]).release(torch.tensor(values, dtype=torch.float64))
    assert released.tolist() == wanted


def test_the_law_does_not_suffer_where_everything_is_settled(monkeypatch):
    monkeypatch.setattr(noise_module, "ERROR", 1.0)
    assert stats.kstest(draw(1.0, 2500).numpy(), "norm").pvalue > CHANCE
