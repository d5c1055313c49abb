"""The commands, one module each: they read options, ask the parts below, and print. They decide nothing."""
