"""A device with the tiny profile: counts on `count`, sends `echo` back on `echoed`, answers on `ask`, until `stop`."""

from time import sleep_ms

client = None
stopped = []
naps = []


def echo(subject, data):
    client.publish("echoed", data)


def answer(subject, data):
    return b"answer to " + data


def stop(subject, data):
    stopped.append(data)


def nap(subject, data):
    naps.append(data)


def run():
    client.subscribe("ask", answer)
    client.subscribe("echo", echo)
    client.subscribe("nap", nap)
    client.subscribe("stop", stop)
    number = 0
    while not stopped:
        if client.poll() and client.publish("count", str(number)):
            number += 1
        if naps:
            naps.clear()
            sleep_ms(1000)  # nobody reads the UART, and the gateway repeats itself
    client.publish("told", "%d %d" % (client.damaged, client.resent))
    client.close()
