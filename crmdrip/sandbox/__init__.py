"""Stand-ins for the vendors as real HTTP servers on loopback, as strict as the vendors are.

Imports nothing else of crmdrip, so that the product cannot agree with itself by accident.
"""
