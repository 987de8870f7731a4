"""The decoder processes: forked ahead, fed through shared memory, killed at their deadline.

Whoever publishes a stream chooses the bytes that FFmpeg reads, so FFmpeg runs where it can cost one segment and no
more. The way of a segment through this folder:

    pool.py ── slot.py ══ shared memory ══ slot.py ── child.py ── worker.examine
       │          └─ reply.py (the answer is copied out, then checked)      ▲ fork
    nursery.py ──────────── messages.py ──────────────────────────── zygote.py
"""
