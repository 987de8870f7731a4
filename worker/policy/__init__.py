"""The operator's policy: what counts, how much, how urgently, and who may suggest an action."""
