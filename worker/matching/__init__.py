"""Known material: exact radius search over hash lists, and alignment of frames with known videos over time."""

from worker.matching.alignment import align
from worker.matching.matcher import Matcher

__all__ = ["Matcher", "align"]
