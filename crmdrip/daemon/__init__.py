"""The workers: pull, dispatch, write back, reconcile. They share the ledger and never call each other."""
