"""Segment bytes to keyframes.

``recognise`` tells the container, ``video`` opens and reads it, ``timeline`` says when its frames are shown and whether
they are whole, ``keyframe`` shows pictures. Nothing here believes a byte: what is malformed ends in a bounded
``SegmentError``.
"""
