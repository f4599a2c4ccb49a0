"""A device with the tiny profile: counts on `count`, sends `echo` back on `echoed`, answers on `ask`, until `stop`."""

from time import sleep_ms

client = None
stopped = []


def echo(subject, data):
    client.publish("echoed", data)


def answer(subject, data):
    return b"answer to " + data


def stop(subject, data):
    stopped.append(data)


def run():
    client.subscribe("ask", answer)
    client.subscribe("echo", echo)
    client.subscribe("stop", stop)
    number = 0
    while not stopped:
        if client.poll() and client.publish("count", str(number)):
            number += 1
            if number % 3 == 0:
                sleep_ms(20)  # a sensor takes its time, and nobody reads the UART
    client.publish("told", "%d %d" % (client.damaged, client.resent))
    client.close()
