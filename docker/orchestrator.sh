#!/bin/sh
# The orchestrator of a container. Needs ATHANOR_DATABASE_URL. It listens on every address of the container, which has
# no authentication: publish the port to this machine only, or to a network of trusted people.
set -eu
: "${ATHANOR_DATABASE_URL:?say which database, such as postgresql://user:password@host/athanor}"
exec athanor-orchestrator --listen "${ATHANOR_LISTEN:-0.0.0.0:7400}" --allow-unauthenticated
