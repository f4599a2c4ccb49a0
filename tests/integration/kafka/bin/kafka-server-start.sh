#!/bin/sh
# What Kafka's own script of this name does, with Maven's jars.
jars="$(dirname "$0")/../jars/*"
start="java -Xmx320m -XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
if [ "$1" = -daemon ]; then
    shift
    nohup setsid $start -cp "$jars" kafka.Kafka "$@" >kafka.log 2>&1 </dev/null &
else
    exec $start -cp "$jars" kafka.Kafka "$@"
fi
