"""The decoder processes: forked ahead, fed through shared memory, killed at their deadline.

Whoever publishes a stream chooses the bytes that FFmpeg reads, so FFmpeg runs where it can cost one segment and no
more. The way of a segment through this folder:

    pool.py ── slot.py ══ shared memory ══ slot.py ── child.py ── worker.examine
       │          └─ reply.py (the answer is copied out, then checked)      ▲ fork
    nursery.py ──────────── messages.py ──────────────────────────── zygote.py

Before its first segment a child gives up what it does not need: ``confine.py`` has the locks in their order,
``kernel.py`` and ``allowed.py`` what they are made of. ``probe.py`` tries the ways out of ``escapes.py`` in locked
children at each start, and ``lockdown.py`` makes a level of what it finds.
"""
