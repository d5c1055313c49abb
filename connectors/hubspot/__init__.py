"""HubSpot: so far only who a webhook comes from. Nothing is registered here; a connector follows."""
