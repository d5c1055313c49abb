"""Contract suites for connector authors: subclass one, give its fixtures, and the port's promises are tested."""
