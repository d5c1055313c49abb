"""Read models: a person's story, the state of everything, what will be sent, how an email looks. They only read."""
