"""Where the policy's default thresholds come from: a simulation of the risk with made-up classifiers.

Harmless streams and streams that show it, a look every 2 s. The made-up classifier is calibrated: the log-odds of its
probability are normal with variance s^2 and mean -s^2/2 where a look does not show it, +s^2/2 where it does (so that
odds are likelihood ratios); s = 2.33 ranks a pair right 95 times in 100, s = 3.29 99 times. Run it with numpy only:

    python benchmarks/risk_defaults.py
"""

from __future__ import annotations

import argparse
import platform
from math import inf

import numpy as np
from numpy.typing import NDArray

from worker.policy.records import RiskRule
from worker.risk.weighing import llr

LOOK_S = 2.0
Values = NDArray[np.float64]


def looks(rng: np.random.Generator, *, streams: int, share: float, spread: float) -> Values:
    """Probabilities of a look at each of so many streams, where a ``share`` of the looks show it; shape (streams,)."""
    shown = rng.random(streams) < share
    logit = rng.normal(np.where(shown, 1, -1) * spread**2 / 2, spread)
    return 1 / (1 + np.exp(-logit))


def ratios(probability: Values, rule: RiskRule) -> Values:
    """What ``worker.risk.weighing.llr`` gives, for many; the check below holds them together."""
    q, b, against = rule.share, rule.base_rate, 1 - probability
    return np.log((q * probability + (1 - q) * against) / (b * probability + (1 - b) * against))


def false_per_1000_h(rule: RiskRule, *, spread: float, hours: int, seed: int) -> float:
    """Openings on harmless streams per 1,000 stream hours; after each the risk begins at 0."""
    rng = np.random.default_rng(seed)
    streams = 2000
    value, opened = np.zeros(streams), 0
    forget = 0.5 ** (LOOK_S / rule.half_life_s)
    steps = int(hours * 3600 / LOOK_S / streams)
    for _ in range(steps):
        value = value * forget + ratios(looks(rng, streams=streams, share=rule.base_rate, spread=spread), rule)
        value = np.clip(value, 0, rule.cap)
        over = value > rule.open_above
        opened += int(over.sum())
        value[over] = 0
    return opened * 1000 / hours


def delay_s(rule: RiskRule, *, share: float, spread: float, seed: int) -> tuple[float, float]:
    """Median seconds of media until a stream that shows it opens, and the share that opened within 10 minutes."""
    rng = np.random.default_rng(seed)
    streams = 2000
    value, when = np.zeros(streams), np.full(streams, inf)
    forget = 0.5 ** (LOOK_S / rule.half_life_s)
    for number in range(300):
        value = np.clip(
            value * forget + ratios(looks(rng, streams=streams, share=share, spread=spread), rule), 0, rule.cap
        )
        when = np.where(np.isinf(when) & (value > rule.open_above), number * LOOK_S, when)
    return float(np.median(when)), float(np.isfinite(when).mean())


def looks_to_open(rule: RiskRule, *, probability: float, every_s: float) -> int | None:
    """How many looks at one steady probability open an incident; None where none ever do."""
    value, forget = 0.0, 0.5 ** (every_s / rule.half_life_s)
    for number in range(1, 100_000):
        value = min(rule.cap, max(0.0, value * forget + llr(probability, rule)))
        if value > rule.open_above:
            return number
    return None


def close_s(rule: RiskRule, *, nats: float) -> float:
    """Watched seconds from the cap to a close, with a look of so many nats every 2 s."""
    value, forget, passed, quiet = rule.cap, 0.5 ** (LOOK_S / rule.half_life_s), 0.0, 0.0
    while quiet < rule.quiet_s:
        value = max(0.0, value * forget + nats)
        passed += LOOK_S
        quiet = quiet + LOOK_S if value < rule.close_below else 0.0
    return passed


def main() -> None:
    """Print the tables of docs/decisions/0002-risk.md."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hours", type=int, default=20_000, help="stream hours simulated for each false-alarm rate")
    parser.add_argument("--seed", type=int, default=20261101)
    given = parser.parse_args()
    rule = RiskRule()
    sample = np.linspace(0, 1, 11)
    np.testing.assert_allclose(ratios(sample, rule), [llr(float(p), rule) for p in sample])
    print(f"seed {given.seed}, {given.hours} h, Python {platform.python_version()}, numpy {np.__version__}")
    print(
        "\nopen_above half_life_s | false per 1,000 h (s=2.33, 3.29)"
        " | median s to open, share within 10 min: q=0.5, q=0.2 (s=3.29)"
    )
    for open_above in (8.0, 10.0, 12.0, 14.0):
        for half_life_s in (30.0, 60.0, 120.0, 1e9):
            one = RiskRule(open_above=open_above, half_life_s=half_life_s, cap=2 * open_above)
            false = [
                false_per_1000_h(one, spread=spread, hours=given.hours, seed=given.seed) for spread in (2.33, 3.29)
            ]
            found = [delay_s(one, share=share, spread=3.29, seed=given.seed) for share in (0.5, 0.2)]
            print(f"{open_above:10g} {half_life_s:11g} | {false[0]:8.2f} {false[1]:8.2f} | {found}")
    print("\nsteady probability: looks until it opens, every 2 s and every 4 s (None: never)")
    for half_life_s in (30.0, 60.0, 120.0):
        one = RiskRule(half_life_s=half_life_s)
        counts = {
            p: [looks_to_open(one, probability=p, every_s=s) for s in (2.0, 4.0)]
            for p in (0.01, 0.55, 0.6, 0.65, 0.7, 0.8, 0.9, 0.99, 0.999, 1.0)
        }
        print(f"half life {half_life_s:g} s: {counts}")
    print("\nwatched seconds from the cap to a close: looks at 0.01, no classifier")
    for cap in (16.0, 24.0, 48.0):
        one = RiskRule(cap=cap)
        print(f"cap {cap:g}: {close_s(one, nats=llr(0.01, one)):g}, {close_s(one, nats=0.0):g}")


if __name__ == "__main__":
    main()
