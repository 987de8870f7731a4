"""What the parts with a real broker share: workers as ``framewatch run`` starts them, load, answers, whose CPU it was.

A part makes topics (``topics``) and a list with a known picture (``known``), starts workers (``processes``) on cores of
their own (``cores``), publishes ahead of them or at times fixed ahead (``publishing``), reads what the broker got
(``answers``), and looks at everybody's CPU meanwhile (``cpu``, ``meter``). Times are seconds since the epoch, or the
broker's milliseconds.
"""
