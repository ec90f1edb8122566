"""Programs with control flow: sub-networks divided, compiled and put together, with selects where deciding costs
more."""
