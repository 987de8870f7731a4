"""What the jail, the transactions and the snapshots cost: each on and off."""
