"""Segment bytes to keyframes.

``recognise`` tells the container, ``opening`` opens it, ``video`` reads it, ``parameters`` says how large its pictures
claim to be, ``limits`` what is too much of anything, ``timeline`` says when its frames are shown and whether
they are whole, ``keyframe`` shows pictures. Nothing here believes a byte: what is malformed ends in a bounded
``SegmentError``.
"""
