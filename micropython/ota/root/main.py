"""Started by MicroPython. Never changed over the air, as `boot_slots`: it must always find a slot that runs."""

import boot_slots


def start():
    import agent

    agent.main()


boot_slots.run(start)
