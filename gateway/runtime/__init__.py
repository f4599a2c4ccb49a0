"""What everybody may have, and no more: time, tasks, names, logs."""
