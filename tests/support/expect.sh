# expect EXIT TEXT COMMAND…: it exits so and prints the text (stdout and stderr together); failed=1 if not
failed=0
expect() {
  local code=$1 text=$2 out got
  shift 2
  out=$("$@" 2>&1)
  got=$?
  if [ "$got" != "$code" ] || ! grep -qF -- "$text" <<<"$out"; then
    printf 'FAILED %s\n  exit %s, wanted %s; wanted the text: %s\n%s\n' "$*" "$got" "$code" "$text" "$out"
    failed=1
  fi
}
