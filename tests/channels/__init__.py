"""Every native channel beside a storefront, the whole daemon between them, and each channel's own faults."""
