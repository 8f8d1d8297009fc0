#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Runs a compiler and fails where ptxas gave up what the kernels are built on. It says so in notes
# only, which no flag makes errors:
#   C7508  setmaxnreg ignored: the computing warpgroups would spill
#   C7510 to C7516  wgmmas serialised: 15 to 25 % slower
# A build for racecheck may be slow.
set -u
case " $* " in *" -DBLOCKFILL_RACECHECK "*) exec "$@" ;; esac
log=$(mktemp) || exit 1
trap 'rm -f "$log"' EXIT
"$@" 2>"$log"
status=$?
cat "$log" >&2
if [ "$status" -eq 0 ] && grep -Eq '\(C75(08|1[0-6])\)|wgmma.* serialized' "$log"; then
  echo "error: ptxas serialised wgmmas or ignored setmaxnreg (see above); the kernel would be slow" >&2
  previous=
  for argument in "$@"; do
    if [ "$previous" = -o ]; then rm -f "$argument"; fi
    previous=$argument
  done
  status=1
fi
exit "$status"
