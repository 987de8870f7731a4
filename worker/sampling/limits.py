"""What one segment may ask for before any picture is decoded. Far above what live segments have.

These hold whatever the settings say; bytes, pixels, streams and keyframes taken are the operator's. What stays within
them and still takes too long meets the deadline; what still takes too much memory, the memory limit.
"""

from __future__ import annotations

MOST_BOXES = 10_000
"""Top-level boxes of an MP4 looked at; a segment has a few for each fragment."""
MOST_NAMES = 4_000
"""Entries of metadata. FFmpeg compares each name with all before it: 100,000 of them take it minutes."""
MOST_PACKETS = 100_000
"""Video packets of one segment: nearly an hour at 30 frames a second."""
MOST_MISSES = 64
"""Keyframes tried in vain before the rest of a segment is given up."""
LONGEST_S = 2.0**40
"""No time in a segment is further than this from zero; a clock that counts from 1970 is at 2^31."""
SPARE_BYTES = 65_536
"""By so much the packets may be larger than the segment that they came in: some demuxers add a few bytes to each."""
MOST_UNITS = 64
"""NAL units looked at for a parameter set, up to the first slice."""
