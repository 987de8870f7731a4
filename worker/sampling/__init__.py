"""Segment bytes to keyframes: ``recognise`` tells the container, ``video`` opens and reads it, ``keyframe`` shows pictures.

The one place that knows PyAV. Nothing here believes a byte: what is malformed ends in a bounded ``SegmentError``.
"""
