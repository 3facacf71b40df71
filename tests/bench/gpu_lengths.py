"""Token counts of preference pairs like those of known data sets, with integers only, so that
tests/gpu/lengths.h draws the same.

A draw with a median, a spread and a maximum:

    12 times: state = state * 6364136223846793005 + 1442695040888963407 (mod 2^64), add state >> 48
    normal = the sum - 393210               close to normal: mean 0, deviation 65536
    doublings = (normal * spread + 8 * 2^32) >> 16     of the median, 16.16 fixed point, plus 8
    power = 2^(its fraction), 16.16, on straight lines between 2^(k/16), k = 0 … 16
    length = median * power / 2^(24 - its whole part), rounded, at least 2, at most the maximum

The state begins as the kind's seed; a pair draws its prompt, the chosen answer, the rejected one.
Medians are set so that a sequence (prompt and one answer) has the median and the tokens of prompts
to those of answers the ratio that was measured for the set by others: HH-RLHF 186 and 2.15,
UltraFeedback 409 and 0.42, TL;DR 416 and 11.1. Their spread is an assumption of ours.
"""
import collections

Kind = collections.namedtuple("Kind", "seed prompt_median answer_median prompt_spread "
                                      "answer_spread prompt_most answer_most")
Pair = collections.namedtuple("Pair", "prompt chosen rejected")

KINDS = {
    "hh": Kind(1, 120, 52, 58982, 65536, 704, 320),
    "ultrafeedback": Kind(2, 114, 272, 65536, 45875, 256, 768),
    "tldr": Kind(3, 381, 34, 22938, 22938, 896, 128),
}
LENGTH_MOST = 1024  # of a sequence of any kind
POWERS = [65536, 68438, 71468, 74632, 77936, 81386, 84990, 88752, 92682,
          96785, 101070, 105545, 110218, 115098, 120194, 125515, 131072]


class Draws:
    def __init__(self, name):
        self.kind = KINDS[name]
        self.state = self.kind.seed

    def length(self, median, spread, most):
        normal = -393210
        for _ in range(12):
            self.state = (self.state * 6364136223846793005 + 1442695040888963407) % 2**64
            normal += self.state >> 48
        doublings = (normal * spread + (8 << 32)) >> 16
        part, shift = doublings & 65535, 24 - (doublings >> 16)
        low, high = POWERS[part >> 12], POWERS[(part >> 12) + 1]
        power = low + ((high - low) * (part & 4095) >> 12)
        return min(max((median * power + (1 << (shift - 1))) >> shift, 2), most)

    def pair(self):
        kind = self.kind
        prompt = self.length(kind.prompt_median, kind.prompt_spread, kind.prompt_most)
        answers = [self.length(kind.answer_median, kind.answer_spread, kind.answer_most)
                   for _ in range(2)]
        return Pair(prompt, *answers)


def pairs(name, count):
    draws = Draws(name)
    return [draws.pair() for _ in range(count)]
