"""Many people, one machine: the thread that owns the models, the queue of child processes, the warm-up."""
