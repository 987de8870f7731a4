"""What each step of a segment's way costs beside its physical floor."""
