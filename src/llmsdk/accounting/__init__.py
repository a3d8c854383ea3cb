"""What calls cost: tokens, the ledger of attempts, and prices."""
