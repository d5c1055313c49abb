"""Migrations, from the first version on."""
