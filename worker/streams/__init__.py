"""What is remembered of each stream, and its own clock.

``state`` is the record, ``identity`` tells what a segment is among those before it, ``clock`` where it stands in time,
``coverage`` what was watched; ``memory`` joins them.
"""
