"""Chooses between the directories /a and /b, and goes back to the old one when a new one does not prove itself.

The choice is one line in /slot: `a` (a is good) or `a b 1` (a is good, b is on trial, started once so far). It is
replaced by a rename, which littlefs does whole or not at all.
"""

import os
import sys

SLOTS = ("a", "b")
# A new slot may need a second start: the first can end with a power cut that is not its fault.
TRIAL_STARTS = 2
# Connecting to a bad network takes a while; the ESP32's watchdog counts up to this and restarts the board.
TRIAL_MILLISECONDS = 120_000
PAUSE_SECONDS = 10
# The highest that the chip has is the last that an application takes.
TIMERS = (3, 1, 0)

_running = None
_watchdog = None
_feeding = None


def read_choice(root="/"):
    """(good, trial, starts): the good slot, the one on trial or None, and how often that one was started."""
    try:
        with open(root + "slot") as file:
            words = file.read().split()
    except OSError:
        words = []
    if not words or words[0] not in SLOTS:
        return SLOTS[0], None, 0
    good = words[0]
    if len(words) == 3 and words[1] in SLOTS and words[1] != good and words[2].isdigit():
        return good, words[1], int(words[2])
    return good, None, 0


def write_choice(good, trial=None, starts=0, root="/"):
    with open(root + "slot.new", "w") as file:
        file.write("%s %s %d\n" % (good, trial, starts) if trial else good + "\n")
    os.rename(root + "slot.new", root + "slot")


def select(root="/"):
    """(slot, on_trial): what to start now. Counts the starts of a slot on trial, and gives up on it in time."""
    good, trial, starts = read_choice(root)
    if trial is None:
        return good, False
    if starts >= TRIAL_STARTS:
        write_choice(good, root=root)
        return good, False
    write_choice(good, trial, starts + 1, root)
    return trial, True


def other(slot):
    return SLOTS[1 - SLOTS.index(slot)]


def running():
    """(slot, on_trial) of what runs now."""
    return _running


def mark_good(root="/"):
    """The slot that runs has proved itself: from now on it is the one to go back to."""
    global _running
    slot, on_trial = _running
    if on_trial:
        write_choice(slot, root=root)
        _running = slot, False
        _keep_feeding()


def run():
    """Start the application of the chosen slot; restart the board when it ends or fails."""
    global _running
    _running = select()
    slot, on_trial = _running
    print("leafgate: starting slot %s%s" % (slot, " on trial" if on_trial else ""))
    if on_trial:
        _start_watchdog()
    sys.path.insert(0, "/" + slot)
    try:
        import agent

        agent.main()
    except Exception as error:
        print("leafgate: slot %s failed" % slot)
        sys.print_exception(error)
    restart(0 if _running[1] else PAUSE_SECONDS)


def restart(pause=0):
    import time

    import machine

    time.sleep(pause)
    machine.reset()


def _start_watchdog():
    # Nobody feeds it until mark_good: a slot that hangs without an exception restarts the board as well.
    global _watchdog
    import machine

    if hasattr(machine, "WDT"):
        _watchdog = machine.WDT(timeout=TRIAL_MILLISECONDS)


def _keep_feeding():
    # An ESP32 cannot stop its watchdog.
    global _feeding
    if _watchdog is not None:
        import machine

        for number in TIMERS:
            try:
                _feeding = machine.Timer(number)
                break
            except ValueError:
                pass
        _feeding.init(period=TRIAL_MILLISECONDS // 8, callback=lambda _: _watchdog.feed())
