"""Chooses between the directories /a and /b, and goes back to the old one when a new one does not prove itself.

The choice is one line in /slot: `a` (a is good) or `a b 1` (a is good, b is on trial, started once so far). It is
replaced by a rename, which littlefs does whole or not at all.
"""

import os
import sys
import time

SLOTS = ("a", "b")
# A new slot may need a second start: the first can end with a power cut that is not its fault.
TRIAL_STARTS = 2
# Connecting to a bad network takes a while.
TRIAL_MILLISECONDS = 120_000
# How long an application may hold the event loop up: as long as the chip's watchdog counts. An ESP32's goes up to this,
# an STM32's to 32 s, an RP2350's to 16 s, an RP2040's to 8.388 s; an ESP8266's is as it is, and takes no number.
WATCHDOG_MILLISECONDS = (120_000, 32_000, 16_000, 8_300, None)
PAUSE_SECONDS = 10
# The highest that the chip has is the last that an application takes; -1 is none of the chip's, where that is how.
TIMERS = (3, 1, 0, -1)

_running = None
_started = 0
_watchdog = None  # not started; False: there is none
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


def feed():
    """To be called every second by a task of the event loop. The board restarts when that loop is held up, and when a
    trial has not come to a good end in time.
    """
    if _running[1] and time.ticks_diff(time.ticks_ms(), _started) > TRIAL_MILLISECONDS:
        print("leafgate: slot %s has not proved itself" % _running[0])
        restart()
    if _watchdog is None:
        _start_watchdog()
    if _watchdog:
        _watchdog.feed()


def run(start):
    """Call `start`, which imports and runs what is in the chosen slot; restart the board when it ends or fails."""
    try:
        _run(start)
    except KeyboardInterrupt:
        # Somebody at the console, who has all the time there is: no chip can stop its watchdog.
        _feed_by_timer()
        raise


def _run(start):
    global _running, _started
    _running = slot, on_trial = select()
    _started = time.ticks_ms()
    print("leafgate: starting slot %s%s" % (slot, " on trial" if on_trial else ""))
    if on_trial:
        # A new slot may hang before it feeds; of one that is good the first `feed` starts the watchdog.
        _start_watchdog()
    sys.path.insert(0, "/" + slot)
    try:
        start()
    except Exception as error:
        print("leafgate: slot %s failed" % slot)
        sys.print_exception(error)
    restart(0 if _running[1] else PAUSE_SECONDS)


def restart(pause=0):
    import machine

    time.sleep(pause)
    machine.reset()


def _start_watchdog():
    """With the longest time that this chip takes."""
    global _watchdog
    import machine

    _watchdog = False
    for timeout in WATCHDOG_MILLISECONDS if hasattr(machine, "WDT") else ():
        try:
            _watchdog = machine.WDT(timeout=timeout) if timeout else machine.WDT()
            break
        except Exception:  # of whatever kind: a port says in its own way what it does not take
            pass


def _feed_by_timer():
    global _feeding
    if not _watchdog:
        return
    import machine

    for number in TIMERS:
        try:
            _feeding = machine.Timer(number)
            _feeding.init(period=1000, callback=lambda _: _watchdog.feed())
            break
        except Exception:  # this chip has no such timer
            pass
