"""What a run leaves behind: shards, ledger, recipe, card."""
