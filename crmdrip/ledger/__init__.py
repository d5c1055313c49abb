"""The daemon's durable state: what the CRM cannot hold. One schema and one set of statements for every database."""
