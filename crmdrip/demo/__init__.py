"""The demo: the daemon's own passes on a fast clock, against the sandbox, with an audit that believes none of it."""
