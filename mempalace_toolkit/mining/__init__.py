"""Filing pages into the palace through MemPalace, and the ledger of what was filed."""
