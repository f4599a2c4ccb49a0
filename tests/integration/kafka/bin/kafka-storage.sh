#!/bin/sh
# What Kafka's own script of this name does, with Maven's jars.
exec java -Xmx128m -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -cp "$(dirname "$0")/../jars/*" kafka.tools.StorageTool "$@" 2>/dev/null
