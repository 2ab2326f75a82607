#!/bin/sh
# A runner of a container. Needs ATHANOR_TARGET and RUNNER_NAME. Its state folder has to be a volume that outlives the
# container, and no other runner's.
set -eu
: "${ATHANOR_TARGET:?say which orchestrator, HOST:PORT}"
: "${RUNNER_NAME:?say how it is called}"
exec athanor-runner --name "$RUNNER_NAME" --state "${ATHANOR_RUNNER_STATE:-/state}" \
  --path "${RUNNER_PATH:-/experiments}" --slots "${RUNNER_SLOTS:-2}"
