#!/usr/bin/env bash
# hone completion: what bash would offer, asked of the function itself.
set -eu
hone=$1
source <("$hone" completion bash)
offers() {            # the words of a command line, the last one being completed
  COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _hone; echo "${COMPREPLY[*]}"
}
[ "$(offers hone gra)" = grad-check ]
[ "$(offers hone ex)" = explain ]
[ "$(offers hone run --thr)" = --threads ]
[ "$(offers hone help --thr)" = "" ]
cd "$(mktemp -d)"; : >net.hone
[ "$(offers hone check ne)" = net.hone ]
rm net.hone; rmdir "$PWD"
status=0; "$hone" completion zsh 2>/dev/null || status=$?
[ $status = 2 ]
