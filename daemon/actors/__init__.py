"""Who decides: one actor per active SKU."""
