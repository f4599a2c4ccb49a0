#!/usr/bin/env bash
# Tries a wheel in an environment of another Python: run.sh PYTHON FOLDER-OF-WHEELS [PYTEST-ARGUMENT ...]
# pip takes the wheel that suits it best. It is to be the compiled form, through which a message goes from NATS to MQTT and one
# back; then tests of the protocols and of the data plane.
set -euo pipefail

python=$1 wheels=$(realpath "$2")
shift 2
repository=$(realpath "$(dirname "$0")/../..")
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT

"$python" -m venv "$place/venv"
python=$place/venv/bin/python
pip=("$python" -m pip --disable-pip-version-check --quiet)
# Not one of the same name that a registry may have.
"${pip[@]}" install --no-deps --no-index --find-links "$wheels" leafgate
"${pip[@]}" install --find-links "$wheels" leafgate \
    pytest pytest-trio hypothesis wsproto nats-py paho-mqtt aiomqtt
cd "$place"
"$python" -m gateway --version | grep compiled
python3 "$repository/tests/arm/exchange.py" "$python"
echo "$("$python" --version): messages went from NATS to MQTT and back"
cd "$repository"
[ $# -gt 0 ] || set -- tests/protocols tests/gateway/dataplane
"$python" -P -m pytest -q -p no:cacheprovider --basetemp="$place/tests" \
    -o addopts="--import-mode=importlib --strict-markers" "$@"
