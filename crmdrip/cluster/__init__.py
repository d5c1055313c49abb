"""Several daemons, on as many machines, that share the work on one PostgreSQL ledger."""
