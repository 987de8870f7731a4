"""One owned partition's life: fence, restore, work, release in one transaction, hand over."""
