"""`python -m benchmarks` prints one table: what a touch costs here, each figure beside a baseline of the same run.

Nothing of this is part of the package. Every program below runs in a process of its own, so that the figures of one are
not those of another: the stand-ins, the daemon's passes, and the script that most teams would write.
"""
