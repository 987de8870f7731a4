"""Plays media into the segments topic as a platform's publisher would: a reference for writing one.

``pieces`` takes a file or a folder apart, ``telling`` makes the events, ``player`` keeps the pace.
"""
