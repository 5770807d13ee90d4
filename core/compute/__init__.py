"""Fast arithmetic on this machine: convolutions that choose their way, threads, batch sizes, compiled loops.

Nothing here knows of networks, images or pages.
"""
