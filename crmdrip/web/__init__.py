"""The door: health for whoever watches the daemon, and the page behind every unsubscribe link. Only writes signals."""
